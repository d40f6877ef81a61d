-- The new store, as one would design it today. No foreign keys yet: the ERP's orphans must fit in
-- until somebody has cleaned them up. Keys sort by bytes, as in the ERP.

CREATE TABLE product (
    sku         varchar(18)   COLLATE "C" NOT NULL PRIMARY KEY,
    name        varchar(60)   NOT NULL,
    description varchar(200),
    unit        varchar(12)   NOT NULL DEFAULT 'EACH',
    unit_price  numeric(12,2) NOT NULL,
    weight_kg   numeric(10,3),
    active      boolean       NOT NULL DEFAULT true,
    sold_until  timestamptz,
    updated_at  timestamptz
);

CREATE TABLE stock_level (
    sku           varchar(18) COLLATE "C" NOT NULL,
    location      varchar(4)  COLLATE "C" NOT NULL,
    on_hand       integer     NOT NULL DEFAULT 0,
    reserved      integer     NOT NULL DEFAULT 0,
    reorder_point integer,
    blocked       boolean     NOT NULL DEFAULT false,
    updated_at    timestamptz,
    PRIMARY KEY (sku, location)
);
CREATE INDEX stock_level_location ON stock_level (location, sku);

CREATE TABLE stock_movement (
    id        varchar(40) COLLATE "C" NOT NULL PRIMARY KEY,
    sku       varchar(18) COLLATE "C" NOT NULL,
    location  varchar(4)  COLLATE "C" NOT NULL,
    kind      varchar(10) NOT NULL,
    quantity  integer     NOT NULL,
    booked_at timestamptz NOT NULL,
    reason    varchar(80),
    booked_by varchar(12)
);
CREATE INDEX stock_movement_product ON stock_movement (sku, booked_at DESC, id DESC);
