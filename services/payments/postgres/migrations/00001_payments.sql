-- +goose Up
CREATE TABLE payments.payments (
	key            text COLLATE "C" PRIMARY KEY, -- the order's id
	version        bigint NOT NULL,
	first_sequence bigint NOT NULL, -- of the payment's first message: the order of the lists
	status         text COLLATE "C" NOT NULL,
	payment_id     text COLLATE "C" NOT NULL, -- the provider's charge
	amount         bigint NOT NULL, -- authorized, in minor units, as are the next two
	currency       text COLLATE "C" NOT NULL,
	captured       bigint NOT NULL,
	refunded       bigint NOT NULL,
	reason         text NOT NULL -- why it was declined
);
CREATE INDEX payments_first ON payments.payments (first_sequence, key);
CREATE INDEX payments_status ON payments.payments (status, first_sequence, key);

-- +goose Down
DROP TABLE payments.payments;
