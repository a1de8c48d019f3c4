-- +goose Up
CREATE TABLE inventory.stock (
	key       text COLLATE "C" PRIMARY KEY, -- the SKU
	version   bigint NOT NULL,
	sku       text COLLATE "C" NOT NULL,
	on_hand   bigint NOT NULL,
	reserved  bigint NOT NULL,
	available bigint GENERATED ALWAYS AS (greatest(on_hand - reserved, 0)) STORED
);
CREATE INDEX stock_available ON inventory.stock (available, key);

-- +goose Down
DROP TABLE inventory.stock;
