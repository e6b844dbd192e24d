-- featul's own tables, as far as featul_integrations looks at them.
-- Creates them in the current schema; tests and the demo load this file.

CREATE TABLE "user" (
	id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
	name text NOT NULL,
	email text NOT NULL UNIQUE
);

CREATE TABLE workspace (
	id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
	name text NOT NULL,
	slug text NOT NULL UNIQUE,
	plan text DEFAULT 'free' CHECK (plan IN ('free', 'starter', 'professional')),
	owner_id text NOT NULL REFERENCES "user" ON DELETE CASCADE
);

CREATE TABLE workspace_member (
	id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
	workspace_id text NOT NULL REFERENCES workspace ON DELETE CASCADE,
	user_id text NOT NULL REFERENCES "user" ON DELETE CASCADE,
	role text NOT NULL DEFAULT 'member' CHECK (role IN ('admin', 'member', 'viewer')),
	is_active boolean DEFAULT true,
	UNIQUE (workspace_id, user_id)
);
CREATE INDEX ON workspace_member (user_id);

-- featul's older integrations, which integration_import() takes over
CREATE TABLE workspace_integration (
	id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
	workspace_id text NOT NULL REFERENCES workspace ON DELETE CASCADE,
	type text NOT NULL,
	webhook_url text NOT NULL,
	is_active boolean DEFAULT true
);
CREATE INDEX ON workspace_integration (workspace_id);

CREATE TABLE board (
	id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
	workspace_id text NOT NULL REFERENCES workspace ON DELETE CASCADE,
	name text NOT NULL,
	slug text NOT NULL,
	is_public boolean DEFAULT true,
	is_system boolean DEFAULT false,
	system_type text,
	hide_public_member_identity boolean DEFAULT false,
	roadmap_statuses json DEFAULT '[
		{"id": "pending", "name": "Pending"},
		{"id": "under_review", "name": "Under review"},
		{"id": "planned", "name": "Planned"},
		{"id": "in_progress", "name": "In progress"},
		{"id": "completed", "name": "Completed"},
		{"id": "closed", "name": "Closed"}]',
	UNIQUE (workspace_id, slug)
);

CREATE TABLE post (
	id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
	board_id text NOT NULL REFERENCES board ON DELETE CASCADE,
	title text NOT NULL,
	content text NOT NULL,
	slug text,
	image text,
	author_id text REFERENCES "user" ON DELETE SET NULL,
	is_anonymous boolean DEFAULT false,
	status text DEFAULT 'published'
		CHECK (status IN ('draft', 'published', 'archived', 'spam', 'pending_approval')),
	roadmap_status text DEFAULT 'pending',
	upvotes integer DEFAULT 0,
	is_pinned boolean DEFAULT false,
	is_locked boolean DEFAULT false,
	is_featured boolean DEFAULT false,
	metadata jsonb,
	created_at timestamp DEFAULT (now() AT TIME ZONE 'UTC')
);
CREATE INDEX ON post (board_id);
CREATE INDEX ON post (author_id);

CREATE TABLE comment (
	id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
	post_id text NOT NULL REFERENCES post ON DELETE CASCADE,
	content text NOT NULL,
	author_id text REFERENCES "user" ON DELETE SET NULL,
	author_name text,
	author_email text,
	is_anonymous boolean DEFAULT false,
	is_internal boolean DEFAULT false,
	status text DEFAULT 'published'
		CHECK (status IN ('published', 'pending', 'spam', 'deleted', 'hidden')),
	upvotes integer DEFAULT 0,
	created_at timestamp DEFAULT (now() AT TIME ZONE 'UTC')
);
CREATE INDEX ON comment (post_id);
CREATE INDEX ON comment (author_id);

CREATE TABLE vote (
	id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
	post_id text REFERENCES post ON DELETE CASCADE,
	comment_id text REFERENCES comment ON DELETE CASCADE,
	user_id text REFERENCES "user" ON DELETE CASCADE,
	fingerprint text,
	created_at timestamp DEFAULT (now() AT TIME ZONE 'UTC'),
	UNIQUE (post_id, user_id),
	UNIQUE (comment_id, user_id)
);

CREATE TABLE comment_mention (
	id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
	comment_id text NOT NULL REFERENCES comment ON DELETE CASCADE,
	mentioned_user_id text NOT NULL REFERENCES "user" ON DELETE CASCADE,
	mentioned_by text NOT NULL REFERENCES "user" ON DELETE CASCADE
);
CREATE INDEX ON comment_mention (comment_id);

CREATE TABLE comment_reaction (
	id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
	comment_id text NOT NULL REFERENCES comment ON DELETE CASCADE,
	user_id text REFERENCES "user" ON DELETE CASCADE,
	type text NOT NULL CHECK (type IN ('upvote', 'downvote')),
	UNIQUE (comment_id, user_id)
);
