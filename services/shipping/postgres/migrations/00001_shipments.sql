-- +goose Up
CREATE TABLE shipping.shipments (
	key            text COLLATE "C" PRIMARY KEY, -- the order's id
	version        bigint NOT NULL,
	first_sequence bigint NOT NULL, -- of the shipment's first message: the order of the lists
	status         text COLLATE "C" NOT NULL,
	shipment_id    text COLLATE "C" NOT NULL, -- the carrier's tracking id
	due            timestamptz NOT NULL -- year 1 when it was cancelled before there was one
);
CREATE INDEX shipments_first ON shipping.shipments (first_sequence, key);
CREATE INDEX shipments_status ON shipping.shipments (status, first_sequence, key);

-- +goose Down
DROP TABLE shipping.shipments;
