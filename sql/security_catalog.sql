--
-- What the catalogs must show of the extension's objects, whichever they are:
-- every query here lists offenders, so every one must be empty.
--
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
RESET client_min_messages;

CREATE TEMP VIEW member AS
SELECT d.classid, d.objid
FROM pg_depend d
JOIN pg_extension e ON e.oid = d.refobjid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'featul_integrations';

CREATE TEMP VIEW member_function AS
SELECT p.*
FROM pg_proc p
JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid;

CREATE TEMP VIEW member_relation AS
SELECT c.*
FROM pg_class c
JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid;

-- there is something to look at
SELECT count(*) FILTER (WHERE classid = 'pg_proc'::regclass) > 0 AS functions,
	count(*) FILTER (WHERE classid = 'pg_class'::regclass) > 0 AS relations
FROM member;

-- objects without a comment
SELECT pg_describe_object(classid, objid, 0) AS uncommented
FROM member
WHERE obj_description(objid, classid::regclass::name) IS NULL AND classid <> 'pg_type'::regclass
ORDER BY 1;

SELECT a.attrelid::regclass AS view, a.attname AS uncommented
FROM member_relation c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'v' AND col_description(c.oid, a.attnum) IS NULL
ORDER BY 1, 2;

-- anything that PUBLIC may do
SELECT oid::regprocedure AS public_may_execute
FROM member_function
WHERE proacl IS NULL OR EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0)
ORDER BY 1;

SELECT c.oid::regclass AS public_may_use
FROM member_relation c
WHERE EXISTS (SELECT FROM aclexplode(c.relacl) WHERE grantee = 0)
	OR EXISTS (SELECT FROM pg_attribute a, aclexplode(a.attacl) WHERE a.attrelid = c.oid AND grantee = 0)
ORDER BY 1;

SELECT nspname AS public_may_use
FROM pg_namespace n
JOIN member m ON m.classid = 'pg_namespace'::regclass AND m.objid = n.oid
WHERE EXISTS (SELECT FROM aclexplode(nspacl) WHERE grantee = 0);

-- anything granted to other roles than the extension's owner and pg_monitor: to that anything but
-- reading, to the owner what would run code of his with the rights of who writes our tables
SELECT extowner AS owner FROM pg_extension WHERE extname = 'featul_integrations' \gset
SELECT c.oid::regclass AS relation, grantee::regrole, privilege_type
FROM member_relation c, aclexplode(c.relacl)
WHERE grantee NOT IN (c.relowner, 0) AND (grantee <> 'pg_monitor'::regrole OR privilege_type <> 'SELECT')
	AND (grantee <> :owner OR privilege_type IN ('TRIGGER', 'REFERENCES'))
ORDER BY 1;

SELECT p.oid::regprocedure AS function, grantee::regrole, privilege_type
FROM member_function p, aclexplode(p.proacl)
WHERE grantee NOT IN (p.proowner, 0) AND grantee NOT IN ('pg_monitor'::regrole, :owner)
ORDER BY 1;

-- security definers (and SQL bodies that are not resolved when created) whose
-- names another role could redirect
SELECT oid::regprocedure AS unsafe_search_path, proconfig
FROM member_function
WHERE (prosecdef OR (prolang <> (SELECT oid FROM pg_language WHERE lanname = 'c') AND prosqlbody IS NULL))
	AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)
ORDER BY 1;

-- triggers whose name could break a statement of an application: trigger
-- functions are no security definers (capture switches user on its slow path only)
SELECT oid::regprocedure AS definer_trigger
FROM member_function
WHERE prorettype = 'trigger'::regtype AND prosecdef;

-- overloads: GRANT EXECUTE ON FUNCTION integration_connect must be plain
SELECT proname AS overloaded
FROM member_function
GROUP BY proname
HAVING count(*) > 1;

-- functions for applications that are not the extension's schema's, and others that are
SELECT p.oid::regprocedure AS misplaced
FROM member_function p, pg_extension e
WHERE e.extname = 'featul_integrations'
	AND (p.pronamespace = e.extnamespace) <> (p.proname LIKE 'integration\_%' AND p.prorettype <> 'trigger'::regtype)
ORDER BY 1;

-- views that show a URL or a secret, by name of the column
SELECT c.oid::regclass AS view, a.attname AS reveals
FROM member_relation c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relkind = 'v' AND a.attname ~ '(url|secret|token)'
ORDER BY 1, 2;

-- functions that change something and are declared as if they did not
SELECT oid::regprocedure AS suspicious_volatility, provolatile
FROM member_function
WHERE provolatile <> 'v' AND proname ~ '(connect|disconnect|test|redeliver|recover|rotate|attach|detach|activate)'
ORDER BY 1;

-- unlogged or temporary tables lose events in a crash
SELECT oid::regclass AS loses_events
FROM member_relation
WHERE relpersistence <> 'p';

-- configuration that pg_dump would leave out, and operational data that it would carry along
SELECT table_name::text AS dumped
FROM (SELECT unnest(extconfig)::regclass AS table_name FROM pg_extension WHERE extname = 'featul_integrations') AS dump
ORDER BY 1;
