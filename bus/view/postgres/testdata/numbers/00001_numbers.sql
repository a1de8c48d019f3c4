-- +goose Up
CREATE TABLE numbers.numbers (
	key text COLLATE "C" PRIMARY KEY,
	version bigint NOT NULL,
	number bigint NOT NULL,
	at timestamptz NOT NULL
);
