#!/usr/bin/env python3
"""What the contract says happens, as a model of its own, for a random history.

    event_model.py SEED STEPS

Prints one line per step: a JSON array of the SQL statement and the events it must cause,
sorted, each as "name post" (a milestone with its number).  The history is one of featul's
tables with the workspace acme, its boards ideas, system (a system board) and other, and
the users below: posts, votes, comments, mentions and reactions come and change, singly
and several at once, with NULL wherever a column allows it; the plan lapses, and capture is
switched off and on again.

It knows nothing of how capture works: it is the table "Events" of the contract, written
down a second time (test/t/056_event_model.pl compares the two).
"""

import json
import random
import sys

USERS = ["mina", "vera", "adam", "olivia"]
BOARDS = {"ideas": False, "system": True, "other": False}
MILESTONES = [10, 50, 100]
FLAGS = {"is_pinned": "post.pinned", "is_featured": "post.featured", "is_locked": "post.locked"}


def literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else "'" + value + "'"


def insert(table, *rows):
    columns = ", ".join(rows[0])
    values = ", ".join("(" + ", ".join(map(literal, row.values())) + ")" for row in rows)
    return f"INSERT INTO {table} ({columns}) VALUES {values}"


def update(table, changes, rows):
    sets = ", ".join(f"{column} = {literal(value)}" for column, value in changes.items())
    ids = ", ".join(literal(row["id"]) for row in rows)
    return f"UPDATE {table} SET {sets} WHERE id IN ({ids})"


class History:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.posts, self.comments, self.votes, self.reactions = [], [], set(), {}
        self.seen = set()  # ids of posts and comments that were visible at some time
        self.milestone = {}  # the highest announced, by post
        self.pays = self.captures = True
        self.ids = 0

    def new_id(self):
        self.ids += 1
        return f"n{self.ids}"

    def some(self, rows, most):
        return self.random.sample(rows, min(len(rows), self.random.randint(1, most)))

    def changes(self, **choices):
        """A random part of these columns, at least one, with random values."""
        names = [name for name in choices if self.random.random() < 0.35]
        return {
            name: self.random.choice(choices[name])
            for name in names or [self.random.choice(sorted(choices))]
        }

    # -- what the contract says ----------------------------------------------

    def listens(self, post):
        return self.captures and self.pays and not BOARDS[post["board_id"]]

    def visible(self, post):
        return post["status"] == "published"

    def public(self, comment):
        return comment["status"] == "published" and not comment["is_internal"]

    def post_of(self, comment):
        return next(post for post in self.posts if post["id"] == comment["post_id"])

    def on_public_comment(self, comment):
        post = self.post_of(comment)
        return self.public(comment) and self.visible(post) and self.listens(post)

    def events_of_post(self, old, post):
        if not self.visible(post):
            return []
        first = post["id"] not in self.seen
        self.seen.add(post["id"])
        if old is None or not self.visible(old):
            return ["post.created"] if first and self.listens(post) else []
        if not self.listens(post):
            return []
        events = [event for flag, event in FLAGS.items() if post[flag] and not old[flag]]
        if old["roadmap_status"] != post["roadmap_status"]:
            events.append("post.status_changed")
        crossed = [m for m in MILESTONES if (old["upvotes"] or 0) < m <= (post["upvotes"] or 0)]
        if crossed and crossed[-1] > self.milestone.get(post["id"], 0):
            self.milestone[post["id"]] = crossed[-1]
            events.append(f"post.milestone {crossed[-1]}")
        return events

    def events_of_comment(self, old, comment):
        if not self.public(comment):
            return []
        first = comment["id"] not in self.seen
        self.seen.add(comment["id"])
        if not first or (old and self.public(old)) or not self.on_public_comment(comment):
            return []
        return ["comment.created"]

    def is_own(self, vote, post):
        """A vote on one's own post, or a reaction to one's own comment."""
        if vote["user_id"] is not None and vote["user_id"] == post["author_id"]:
            return True
        anonymous = post["author_id"] is None or post["is_anonymous"]
        return bool(anonymous and vote["fingerprint"] and vote["fingerprint"] == post["fingerprint"])

    # -- steps: each returns a statement and its events -----------------------

    def new_posts(self):
        choice, events, rows = self.random.choice, [], []
        for _ in range(choice([1, 1, 3])):
            post = {
                "id": f"p{len(self.posts)}",
                "board_id": choice(sorted(BOARDS)),
                "title": "T",
                "content": "c",
                "status": choice(["published", "published", "published", "draft", "archived", None]),
                "roadmap_status": choice(["pending", "planned", None]),
                "is_pinned": choice([True, False, None]),
                "is_featured": False,
                "is_locked": None,
                "upvotes": choice([0, 9, 45, 120, None]),
                "author_id": choice(USERS + [None]),
                "is_anonymous": choice([True, False, None]),
                "fingerprint": choice(["f1", "f2", None]),
            }
            self.posts.append(post)
            events += [f"{event} {post['id']}" for event in self.events_of_post(None, post)]
            row = dict(post)
            row["slug"] = row["id"]
            row["metadata"] = json.dumps({"fingerprint": row.pop("fingerprint")})
            rows.append(row)
        return insert("post", *rows), events

    def change_posts(self):
        changes = self.changes(
            status=["published", "published", "published", "draft", "spam", None],
            roadmap_status=["pending", "planned", None],
            is_pinned=[True, False, None],
            is_featured=[True, False, None],
            is_locked=[True, False, None],
            upvotes=[0, 9, 10, 11, 49, 51, 99, 100, 150, None],
            **({"board_id": sorted(BOARDS)} if self.random.random() < 0.2 else {}),
        )
        rows, events = self.some(self.posts, 4), []
        for post in rows:
            old = dict(post)
            post.update(changes)
            events += [f"{event} {post['id']}" for event in self.events_of_post(old, post)]
        return update("post", changes, rows), events

    def vote(self):
        post = self.random.choice(self.posts)
        user = self.random.choice(USERS + [None])
        fingerprint = self.random.choice(["f1", "f2", None])
        if (post["id"], user) in self.votes:
            user = None
        if (post["id"], fingerprint) in self.votes:
            fingerprint = None
        self.votes |= {(post["id"], user), (post["id"], fingerprint)} - {(post["id"], None)}
        row = {"id": self.new_id(), "post_id": post["id"], "user_id": user, "fingerprint": fingerprint, "type": "upvote"}
        counts = self.visible(post) and self.listens(post) and not self.is_own(row, post)
        return insert("vote", row), [f"post.upvoted {post['id']}"] if counts else []

    def new_comment(self):
        comment = {
            "id": f"c{len(self.comments)}",
            "post_id": self.random.choice(self.posts)["id"],
            "content": "c",
            "status": self.random.choice(["published", "published", "pending", "hidden", None]),
            "is_internal": self.random.choice([True, False, None]),
            "author_id": self.random.choice(USERS + [None]),
            "is_anonymous": self.random.choice([True, False, None]),
            "fingerprint": self.random.choice(["f1", "f2", None]),
        }
        self.comments.append(comment)
        events = self.events_of_comment(None, comment)
        row = dict(comment)
        row["metadata"] = json.dumps({"fingerprint": row.pop("fingerprint")})
        return insert("comment", row), [f"{event} {comment['post_id']}" for event in events]

    def change_comments(self):
        changes = self.changes(
            status=["published", "published", "pending", "deleted", None],
            is_internal=[True, False, None],
            post_id=[post["id"] for post in self.posts],
        )
        rows, events = self.some(self.comments, 3), []
        for comment in rows:
            old = dict(comment)
            comment.update(changes)
            events += [f"{event} {comment['post_id']}" for event in self.events_of_comment(old, comment)]
        return update("comment", changes, rows), events

    def mention(self):
        comment = self.random.choice(self.comments)
        user, by = self.random.choice(USERS), self.random.choice(USERS)
        row = {"id": self.new_id(), "comment_id": comment["id"], "mentioned_user_id": user, "mentioned_by": by}
        counts = self.on_public_comment(comment) and user not in (by, comment["author_id"])
        return insert("comment_mention", row), [f"comment.mention {comment['post_id']}"] if counts else []

    def react(self):
        comment = self.random.choice(self.comments)
        row = {
            "id": self.new_id(),
            "comment_id": comment["id"],
            "user_id": self.random.choice(USERS + [None]),
            "fingerprint": None,
            "type": self.random.choice(["upvote", "downvote"]),
        }
        who = "user_id" if row["user_id"] else "fingerprint"
        row[who] = row[who] or self.random.choice(["f1", "f2"])
        key = (comment["id"], row[who])
        changed = self.reactions.get(key) != row["type"]
        self.reactions[key] = row["type"]
        counts = changed and self.on_public_comment(comment) and not self.is_own(row, comment)
        statement = insert("comment_reaction", row) + f" ON CONFLICT (comment_id, {who}) DO UPDATE SET type = excluded.type"
        return statement, [f"comment.reaction {comment['post_id']}"] if counts else []

    def switch_plan(self):
        self.pays = not self.pays
        return update("workspace", {"plan": "starter" if self.pays else "free"}, [{"id": "acme"}]), []

    def switch_capture(self):
        self.captures = not self.captures
        return "SET featul_integrations.capture = " + literal("on" if self.captures else "off"), []

    def step(self):
        if not self.posts:
            return self.new_posts()
        steps = {self.new_posts: 20, self.change_posts: 30, self.vote: 10, self.new_comment: 10}
        if self.comments:
            steps |= {self.change_comments: 10, self.mention: 5, self.react: 8}
        steps |= {self.switch_plan: 1 if self.pays else 5, self.switch_capture: 1 if self.captures else 5}
        return self.random.choices(list(steps), list(steps.values()))[0]()


def main():
    history = History(int(sys.argv[1]))
    for _ in range(int(sys.argv[2])):
        statement, events = history.step()
        print(json.dumps([statement, sorted(events)]))


if __name__ == "__main__":
    main()
