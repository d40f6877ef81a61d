-- The ERP as 15 years have left it: truncated names, blank-padded keys, 'Y' and 'N', local time of
-- Berlin without zone, numbers without scale, no foreign keys.
-- Keys sort by bytes (as Oracle's NLS_SORT=BINARY does), so that both sides give lists in one order.

-- Oracle's table of one row, for statements that read no table.
CREATE TABLE DUAL (DUMMY char(1) NOT NULL DEFAULT 'X');
INSERT INTO DUAL DEFAULT VALUES;

CREATE TABLE ITMHDR (
    ITMNO   char(18)     COLLATE "C" NOT NULL PRIMARY KEY,
    ITMDSC  varchar(60)  NOT NULL,
    ITMTXT  varchar(200),
    UNITCD  char(2)      NOT NULL DEFAULT 'EA',
    UPRICE  numeric      NOT NULL,
    WGTKG   numeric,
    ACTFLG  char(1)      NOT NULL DEFAULT 'Y',
    VLDTO   timestamp    NOT NULL DEFAULT '9999-12-31',
    CHGDT   timestamp(0)
);

CREATE TABLE STKBAL (
    ITMNO   char(18)     COLLATE "C" NOT NULL,
    LOCCD   char(4)      COLLATE "C" NOT NULL,
    QTYOH   numeric      NOT NULL DEFAULT 0,
    QTYRSV  numeric      NOT NULL DEFAULT 0,
    QTYMIN  numeric,
    BLKFLG  char(1)      NOT NULL DEFAULT 'N',
    CHGDT   timestamp,
    PRIMARY KEY (ITMNO, LOCCD)
);
CREATE INDEX STKBAL_LOC ON STKBAL (LOCCD, ITMNO);

CREATE TABLE MOVLOG (
    MOVID   char(40)     COLLATE "C" NOT NULL PRIMARY KEY,
    ITMNO   char(18)     COLLATE "C" NOT NULL,
    LOCCD   char(4)      COLLATE "C" NOT NULL,
    MOVTYP  char(1)      NOT NULL,
    MOVQTY  numeric      NOT NULL,
    BOOKDT  timestamp    NOT NULL,
    RSNTXT  varchar(80),
    USRID   char(12)
);
CREATE INDEX MOVLOG_ITM ON MOVLOG (ITMNO, BOOKDT DESC, MOVID DESC);
