-- what: A rule writes a line with each new item (DO ALSO).
-- check: rule also on item is one for INSERT or UPDATE
-- as legacy: writes=held + refused INTERNAL + unsettled; reconcile=differs; handover=stays with modern
-- as modern: writes=held + unsettled; reconcile=incomplete; handover=not handed over
-- as oracle: writes=held; reconcile=differs; handover=there and back
CREATE RULE also AS ON INSERT TO item DO ALSO INSERT INTO line VALUES (NEW.id, 901, 'by rule');
