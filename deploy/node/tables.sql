-- The tables of the node, as SQL, from what the publication has: run on the application's
-- database, the output goes to the node's psql (deploy/node/set-up does both).
--
-- They are meant to take whatever the application's may come to hold: the same columns and
-- primary keys, but no other constraints, no defaults, no foreign keys, and plain text for
-- what is text with a limit or of a type of one's own.  So most migrations of the application
-- need nothing here (docs/node.md, "A migration of the application").  Generated columns are
-- left out: they are not sent.
\set ON_ERROR_STOP on

SELECT DISTINCT format('CREATE SCHEMA IF NOT EXISTS %I;', schemaname)
FROM pg_publication_tables WHERE pubname = 'featul_integrations';

SELECT format(E'CREATE TABLE IF NOT EXISTS %I.%I (\n%s%s\n);', p.schemaname, p.tablename,
	(SELECT string_agg(format(E'\t%I %s', a.attname, CASE
			WHEN base.typnamespace <> 'pg_catalog'::regnamespace OR base.typcategory = 'S' THEN 'text'
			WHEN base.typcategory = 'V' THEN 'bit varying'
			ELSE format_type(base.oid, NULL) END),
			E',\n' ORDER BY a.attnum)
		FROM pg_attribute a
		JOIN pg_type t ON t.oid = a.atttypid
		JOIN pg_type base ON base.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
		WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''),
	(SELECT format(E',\n\tPRIMARY KEY (%s)', string_agg(quote_ident(a.attname), ', ' ORDER BY k.n))
		FROM pg_index i, unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, n), pg_attribute a
		WHERE i.indrelid = c.oid AND i.indisprimary AND k.n <= i.indnkeyatts
			AND a.attrelid = c.oid AND a.attnum = k.attnum
		GROUP BY i.indexrelid))
FROM pg_publication_tables p
JOIN pg_namespace n ON n.nspname = p.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
WHERE p.pubname = 'featul_integrations'
ORDER BY p.schemaname, p.tablename;
