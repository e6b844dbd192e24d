-- featul's own tables, as its database has them: all columns of those that featul_integrations
-- looks at, and of those beside them that its habits touch.
-- Creates them in the current schema; tests and the demo load this file.
--
-- No id has a default: the application makes them.  Enumerations are plain text, every flag
-- that may be NULL is.

CREATE TABLE "user" (
	id text PRIMARY KEY,
	name text NOT NULL,
	email text NOT NULL UNIQUE,
	email_verified boolean NOT NULL,
	image text,
	stripe_customer_id text UNIQUE,
	is_admin boolean DEFAULT false,
	two_factor_enabled boolean,
	created_at timestamp NOT NULL DEFAULT now(),
	updated_at timestamp NOT NULL DEFAULT now()
);

CREATE TABLE workspace (
	id text PRIMARY KEY,
	name text NOT NULL,
	slug text NOT NULL UNIQUE,
	domain text NOT NULL,
	owner_id text NOT NULL REFERENCES "user" ON DELETE CASCADE,
	plan text NOT NULL DEFAULT 'free',			-- free, starter, professional
	is_active boolean DEFAULT true,
	logo text,
	primary_color text DEFAULT '#3b82f6',
	theme text DEFAULT 'system',
	hide_branding boolean DEFAULT false,
	custom_domain text,
	timezone text NOT NULL DEFAULT 'UTC',
	created_at timestamp NOT NULL DEFAULT now(),
	updated_at timestamp NOT NULL DEFAULT now()
);

CREATE TABLE workspace_member (
	id text PRIMARY KEY,
	workspace_id text NOT NULL REFERENCES workspace ON DELETE CASCADE,
	user_id text NOT NULL REFERENCES "user" ON DELETE CASCADE,
	role text NOT NULL DEFAULT 'member',		-- admin, member, viewer
	permissions json NOT NULL DEFAULT '{"canManageWorkspace": false, "canManageBilling": false,
		"canManageMembers": false, "canManageBoards": false, "canModerateAllBoards": false,
		"canConfigureBranding": false}',
	invited_by text REFERENCES "user",
	invited_at timestamp,
	joined_at timestamp,
	is_active boolean DEFAULT true,
	created_at timestamp NOT NULL DEFAULT now(),
	updated_at timestamp NOT NULL DEFAULT now(),
	UNIQUE (workspace_id, user_id)
);
CREATE INDEX ON workspace_member (workspace_id);
CREATE INDEX ON workspace_member (workspace_id, is_active);

-- what is paid for; workspace.plan is a copy
CREATE TABLE subscription (
	id text PRIMARY KEY,
	plan text NOT NULL DEFAULT 'free',
	reference_id text NOT NULL REFERENCES workspace ON DELETE CASCADE,
	stripe_customer_id text,
	stripe_subscription_id text UNIQUE,
	status text DEFAULT 'incomplete',			-- active, trialing, past_due, canceled, ...
	period_start timestamp,
	period_end timestamp,
	cancel_at_period_end boolean DEFAULT false,
	trial_start timestamp,
	trial_end timestamp,
	ended_at timestamp,
	seats integer,
	billing_interval text,						-- month, year
	created_at timestamp NOT NULL DEFAULT now(),
	updated_at timestamp NOT NULL DEFAULT now()
);
CREATE INDEX ON subscription (reference_id);

-- the older integrations, which integration_import() takes over
CREATE TABLE workspace_integration (
	id text PRIMARY KEY,
	workspace_id text NOT NULL REFERENCES workspace ON DELETE CASCADE,
	type text NOT NULL,							-- slack, discord
	webhook_url text NOT NULL,
	is_active boolean DEFAULT true,
	last_triggered_at timestamp,
	created_at timestamp NOT NULL DEFAULT now(),
	updated_at timestamp NOT NULL DEFAULT now(),
	UNIQUE (workspace_id, type)
);
CREATE INDEX ON workspace_integration (workspace_id);

CREATE TABLE board (
	id text PRIMARY KEY,
	workspace_id text NOT NULL REFERENCES workspace ON DELETE CASCADE,
	name text NOT NULL,
	slug text NOT NULL,
	system_type text,							-- roadmap, changelog
	is_public boolean NOT NULL DEFAULT true,
	is_visible boolean NOT NULL DEFAULT true,
	is_system boolean NOT NULL DEFAULT false,
	is_active boolean NOT NULL DEFAULT true,
	allow_anonymous boolean NOT NULL DEFAULT true,
	allow_comments boolean NOT NULL DEFAULT true,
	hide_public_member_identity boolean NOT NULL DEFAULT false,
	sort_order integer NOT NULL DEFAULT 0,
	created_by text NOT NULL REFERENCES "user",
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	roadmap_statuses json NOT NULL DEFAULT '[
		{"id": "pending", "name": "Pending", "color": "#6b7280", "order": 0},
		{"id": "review", "name": "Review", "color": "#a855f7", "order": 1},
		{"id": "planned", "name": "Planned", "color": "#6b7280", "order": 2},
		{"id": "progress", "name": "Progress", "color": "#f59e0b", "order": 3},
		{"id": "completed", "name": "Completed", "color": "#10b981", "order": 4},
		{"id": "closed", "name": "Closed", "color": "#ef4444", "order": 5}]',
	changelog_tags json NOT NULL DEFAULT '[]',
	UNIQUE (workspace_id, slug)
);
CREATE INDEX ON board (workspace_id);
CREATE INDEX ON board (is_system);

CREATE TABLE post (
	id text PRIMARY KEY,
	board_id text NOT NULL REFERENCES board ON DELETE CASCADE,
	title text NOT NULL,
	content text NOT NULL,
	image text,
	slug text NOT NULL,
	author_id text REFERENCES "user" ON DELETE SET NULL,
	is_anonymous boolean DEFAULT false,
	status text DEFAULT 'published',			-- draft, published, archived, spam, pending_approval
	roadmap_status text,						-- an id of the board's roadmap_statuses
	upvotes integer DEFAULT 0,
	comment_count integer DEFAULT 0,
	is_pinned boolean DEFAULT false,
	is_locked boolean DEFAULT false,
	is_featured boolean DEFAULT false,
	published_at timestamp,
	created_at timestamp NOT NULL DEFAULT now(),
	updated_at timestamp NOT NULL DEFAULT now(),
	metadata json,								-- fingerprint: of an anonymous author
	meta_title text,
	meta_description text,
	moderated_by text REFERENCES "user" ON DELETE SET NULL,
	moderated_at timestamp,
	moderation_reason text,
	duplicate_of_id text REFERENCES post ON DELETE SET NULL,
	UNIQUE (board_id, slug)
);
CREATE INDEX ON post (board_id);
CREATE INDEX ON post (roadmap_status);
CREATE INDEX ON post (created_at);

CREATE TABLE post_merge (
	id text PRIMARY KEY,
	source_post_id text NOT NULL REFERENCES post ON DELETE CASCADE,
	target_post_id text NOT NULL REFERENCES post ON DELETE CASCADE,
	merged_by text NOT NULL REFERENCES "user" ON DELETE SET NULL,
	merge_type text NOT NULL,					-- merge_into, merge_here
	reason text,
	metadata json,
	created_at timestamp NOT NULL DEFAULT now(),
	UNIQUE (source_post_id, target_post_id)
);

CREATE TABLE comment (
	id text PRIMARY KEY,
	post_id text NOT NULL REFERENCES post ON DELETE CASCADE,
	parent_id text REFERENCES comment ON DELETE CASCADE,
	content text NOT NULL,						-- '' where it is an image alone
	author_id text REFERENCES "user" ON DELETE SET NULL,
	author_name text,
	author_email text,
	is_anonymous boolean DEFAULT false,
	status text DEFAULT 'published',			-- published, pending, spam, deleted, hidden
	upvotes integer DEFAULT 0,
	downvotes integer DEFAULT 0,
	reply_count integer DEFAULT 0,
	depth integer DEFAULT 0,
	is_pinned boolean DEFAULT false,
	is_internal boolean NOT NULL DEFAULT false,
	is_edited boolean DEFAULT false,
	created_at timestamp NOT NULL DEFAULT now(),
	updated_at timestamp NOT NULL DEFAULT now(),
	edited_at timestamp,
	moderated_by text REFERENCES "user" ON DELETE SET NULL,
	moderated_at timestamp,
	moderation_reason text,
	metadata json								-- fingerprint: of a guest
);

CREATE TABLE comment_mention (
	id text PRIMARY KEY,
	comment_id text NOT NULL REFERENCES comment ON DELETE CASCADE,
	mentioned_user_id text NOT NULL REFERENCES "user" ON DELETE CASCADE,
	mentioned_by text NOT NULL REFERENCES "user" ON DELETE CASCADE,
	is_read boolean DEFAULT false,
	created_at timestamp NOT NULL DEFAULT now()
);

CREATE TABLE comment_reaction (
	id text PRIMARY KEY,
	comment_id text NOT NULL REFERENCES comment ON DELETE CASCADE,
	user_id text REFERENCES "user" ON DELETE CASCADE,
	type text NOT NULL,							-- upvote, downvote
	fingerprint text,							-- of a guest
	created_at timestamp NOT NULL DEFAULT now(),
	UNIQUE (comment_id, user_id),
	UNIQUE (comment_id, fingerprint)
);

CREATE TABLE vote (
	id text PRIMARY KEY,
	post_id text REFERENCES post ON DELETE CASCADE,
	comment_id text REFERENCES comment ON DELETE CASCADE,
	user_id text REFERENCES "user" ON DELETE CASCADE,
	fingerprint text,							-- of a guest
	type text NOT NULL,							-- upvote
	created_at timestamp NOT NULL DEFAULT now(),
	updated_at timestamp NOT NULL DEFAULT now(),
	UNIQUE (post_id, user_id),
	UNIQUE (post_id, fingerprint),
	UNIQUE (comment_id, user_id),
	UNIQUE (comment_id, fingerprint)
);
