-- The application's database, once: all that the delivery node asks of it.
--
--     psql "$OWNER_OF_THE_TABLES" -v password=... -f publisher.sql
--
-- The names are featul's; for others, featul_integrations.publication() on a node gives
-- the statement.  Tables are named one by one because a publication for all of them needs
-- a superuser, which managed services keep to themselves.  wal_level must be logical
-- before; how each service does that, and gives a role the right to replicate, is in
-- docs/node.md.
\set ON_ERROR_STOP on

-- For SELECT: the first copy.  For REPLICATION: the changes since.
CREATE ROLE featul_node LOGIN REPLICATION PASSWORD :'password';
GRANT USAGE ON SCHEMA public TO featul_node;
GRANT SELECT ON public.workspace, public.workspace_member, public."user", public.board,
	public.post, public.comment, public.vote, public.comment_mention, public.comment_reaction,
	public.workspace_integration TO featul_node;

-- Through the root: so that partitions come and go without anything to do on the node.
CREATE PUBLICATION featul_integrations FOR TABLE public.workspace, public.workspace_member,
	public."user", public.board, public.post, public.comment, public.vote,
	public.comment_mention, public.comment_reaction, public.workspace_integration
	WITH (publish_via_partition_root = true);
