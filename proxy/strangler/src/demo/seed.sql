-- Fifteen years of an ERP, the same for the same seed: no clock, no random().
-- pick(n, salt, k) is a number below k that depends on seed, n and salt only.
CREATE FUNCTION pg_temp.pick(n bigint, salt bigint, k bigint) RETURNS bigint LANGUAGE sql IMMUTABLE
    AS 'SELECT abs(hashint8extended(n, ''{seed}''::bigint # (salt << 40)) % k)';
CREATE FUNCTION pg_temp.one(choices text[], n bigint, salt bigint) RETURNS text LANGUAGE sql IMMUTABLE
    AS 'SELECT choices[1 + abs(hashint8extended(n, ''{seed}''::bigint # (salt << 40)) % cardinality(choices))]';
-- Local time within working hours, so that no clock change makes it ambiguous or impossible.
CREATE FUNCTION pg_temp.moment(n bigint, salt bigint) RETURNS timestamp LANGUAGE sql IMMUTABLE
    AS 'SELECT timestamp ''2011-01-03 06:00:00'' + make_interval(
            days => pg_temp.pick(n, salt, 5470)::int, secs => pg_temp.pick(n, salt + 1, 57600)::int)';
-- Five steps through twelve locations meet each of them once.
CREATE FUNCTION pg_temp.location(item bigint, step bigint) RETURNS text LANGUAGE sql IMMUTABLE
    AS 'SELECT (ARRAY[''BER1'',''BER2'',''CGN1'',''DUS1'',''FRA1'',''HAJ1'',''HAM1'',''LEJ1'',''MUC1'',''MUC2'',''NUE1'',''STR1''])
               [1 + (pg_temp.pick(item, 30, 12) + 5 * step) % 12]';
CREATE FUNCTION pg_temp.item(n bigint) RETURNS text LANGUAGE sql IMMUTABLE
    AS 'SELECT (ARRAY[''BLT'',''NUT'',''WSH'',''BRG'',''SEA'',''CBL'',''VLV'',''PMP'',''FLT'',''BLD''])[1 + n % 10]
               || ''-'' || lpad(n::text, 6, ''0'')';

INSERT INTO ITMHDR (ITMNO, ITMDSC, ITMTXT, UNITCD, UPRICE, WGTKG, ACTFLG, VLDTO, CHGDT)
SELECT pg_temp.item(n),
       (ARRAY['Hex bolt','Lock nut','Washer','Ball bearing','Shaft seal','Cable','Valve','Pump','Filter','Saw blade'])[1 + n % 10]
           || ' ' || pg_temp.one(ARRAY['M4','M6','M8','M10','M12','12 mm','20 mm','25 mm','1/2"','3/4"'], n, 1)
           || ', ' || pg_temp.one(ARRAY['steel, zinc plated','stainless A2','stainless A4','brass','nylon','hardened','bronze','PTFE'], n, 2),
       CASE pg_temp.pick(n, 3, 5)
           WHEN 0 THEN NULL
           WHEN 1 THEN ''
           ELSE 'Supplier part ' || pg_temp.pick(n, 4, 90000) + 10000 || ', packed by '
                || pg_temp.one(ARRAY['10','25','50','100','250'], n, 5)
       END,
       pg_temp.one(ARRAY['EA','EA','EA','EA','EA','KG','MT','LT'], n, 6),
       -- 12.50 was keyed in as 12.5, and so it stands.
       trim_scale((1 + pg_temp.pick(n, 7, 49) * pg_temp.pick(n, 8, 2000)) / 100.0),
       CASE WHEN pg_temp.pick(n, 9, 10) = 0 THEN NULL ELSE trim_scale((1 + pg_temp.pick(n, 10, 40000)) / 1000.0) END,
       CASE WHEN pg_temp.pick(n, 11, 100) < 94 THEN 'Y' ELSE 'N' END,
       CASE WHEN pg_temp.pick(n, 12, 100) < 97 THEN timestamp '9999-12-31'
            ELSE timestamp '2027-01-31 18:00:00' + make_interval(days => pg_temp.pick(n, 13, 700)::int) END,
       pg_temp.moment(n, 14)
FROM generate_series(1, {items}) AS n;

INSERT INTO STKBAL (ITMNO, LOCCD, QTYOH, QTYRSV, QTYMIN, BLKFLG, CHGDT)
SELECT pg_temp.item(n), pg_temp.location(n, step), held, least(held, pg_temp.pick(n * 12 + step, 16, 20)),
       CASE WHEN pg_temp.pick(n * 12 + step, 17, 10) < 3 THEN NULL ELSE 5 * pg_temp.pick(n * 12 + step, 18, 12) END,
       CASE WHEN pg_temp.pick(n * 12 + step, 19, 200) = 0 THEN 'Y' ELSE 'N' END,
       pg_temp.moment(n * 12 + step, 20)
FROM generate_series(1, {items}) AS n,
     generate_series(0, pg_temp.pick(n, 29, 4)) AS step,
     LATERAL (SELECT pg_temp.pick(n * 12 + step, 15, 400)) AS stock (held);

INSERT INTO MOVLOG (MOVID, ITMNO, LOCCD, MOVTYP, MOVQTY, BOOKDT, RSNTXT, USRID)
SELECT 'M' || lpad(m::text, 9, '0'), pg_temp.item(item), pg_temp.location(item, pg_temp.pick(m, 42, pg_temp.pick(item, 29, 4) + 1)),
       kind,
       CASE kind WHEN 'I' THEN -1 - pg_temp.pick(m, 43, 40)
                 WHEN 'T' THEN (1 + pg_temp.pick(m, 43, 40)) * (1 - 2 * (m % 2))
                 ELSE 1 + pg_temp.pick(m, 43, 200) END,
       pg_temp.moment(m, 44),
       -- What lacks audit data lacks both; the reason is null or '', depending on the year's client program.
       CASE WHEN audited THEN pg_temp.one(ARRAY['order','return','damage','stock count','relocation','delivery'], m, 46)
            WHEN m % 3 = 0 THEN '' END,
       CASE WHEN audited THEN pg_temp.one(ARRAY['ASCHMIDT','BWAGNER','CFISCHER','DWEBER','KMUELLER','LBECKER','MHOFFMANN','TSCHULZ'], m, 47) END
FROM generate_series(1, {movements}) AS m,
     LATERAL (SELECT 1 + pg_temp.pick(m, 40, {items}),
                     pg_temp.one(ARRAY['R','R','R','I','I','I','I','I','T','C'], m, 41),
                     pg_temp.pick(m, 45, 100) >= 30) AS drawn (item, kind, audited);

-- Orphans: the items were deleted in 2017, their balances and movements were not.
INSERT INTO STKBAL (ITMNO, LOCCD, QTYOH, QTYRSV, BLKFLG, CHGDT)
SELECT 'OLD-' || lpad(n::text, 6, '0'), pg_temp.location(n, 0), pg_temp.pick(n, 50, 30), 0, 'N', pg_temp.moment(n, 51)
FROM generate_series(1, {orphans}) AS n;
INSERT INTO MOVLOG (MOVID, ITMNO, LOCCD, MOVTYP, MOVQTY, BOOKDT)
SELECT 'X' || lpad(n::text, 9, '0'), 'OLD-' || lpad(n::text, 6, '0'), pg_temp.location(n, 0), 'I', -1, pg_temp.moment(n, 52)
FROM generate_series(1, {orphans}) AS n;

DROP FUNCTION pg_temp.location, pg_temp.item, pg_temp.moment, pg_temp.one, pg_temp.pick;
ANALYZE ITMHDR;
ANALYZE STKBAL;
ANALYZE MOVLOG;
