-- +goose Up
CREATE TABLE orders.orders (
	key         text COLLATE "C" PRIMARY KEY, -- the order's id
	version     bigint NOT NULL,
	order_id    text COLLATE "C" NOT NULL,
	customer_id text COLLATE "C" NOT NULL,
	status      text COLLATE "C" NOT NULL,
	total       bigint NOT NULL, -- in minor units, as is what was refunded of it
	currency    text COLLATE "C" NOT NULL,
	refunded    bigint NOT NULL,
	placed_at   timestamptz NOT NULL,
	lines       jsonb -- [{"sku","quantity","price"}], prices in minor units of the currency
);
CREATE INDEX orders_placed ON orders.orders (placed_at, key);
CREATE INDEX orders_status ON orders.orders (status, placed_at, key);
CREATE INDEX orders_customer ON orders.orders (customer_id, placed_at, key);
CREATE INDEX orders_customer_status ON orders.orders (customer_id, status, placed_at, key);
CREATE INDEX orders_customer_id ON orders.orders (customer_id, key);

-- +goose Down
DROP TABLE orders.orders;
