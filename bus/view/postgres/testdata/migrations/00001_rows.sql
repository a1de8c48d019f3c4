-- +goose Up
CREATE TABLE tallying.tallies (
	key text COLLATE "C" PRIMARY KEY,
	version bigint NOT NULL,
	text text NOT NULL,
	count bigint NOT NULL,
	lists jsonb
);

-- +goose Down
DROP TABLE tallying.tallies;
