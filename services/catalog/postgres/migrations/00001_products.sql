-- +goose Up
CREATE TABLE catalog.products (
	key      text COLLATE "C" PRIMARY KEY, -- the SKU
	version  bigint NOT NULL,
	sku      text COLLATE "C" NOT NULL,
	name     text NOT NULL,
	price    bigint NOT NULL, -- in minor units
	currency text COLLATE "C" NOT NULL,
	active   boolean NOT NULL
);
CREATE INDEX products_active ON catalog.products (key) WHERE active;
CREATE INDEX products_inactive ON catalog.products (key) WHERE NOT active;

-- +goose Down
DROP TABLE catalog.products;
