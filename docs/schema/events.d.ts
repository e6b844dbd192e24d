// Made by generate.mjs from events.schema.json.  Further keys may follow in later versions.

/**
 * The body of a webhook of featul_integrations. Further keys may follow in later versions: ignore what you do not know.
 */
export type FeatulEvent =
  | PostCreated
  | PostStatusChanged
  | PostPinned
  | PostFeatured
  | PostLocked
  | PostUpvoted
  | PostMilestone
  | CommentCreated
  | CommentMention
  | CommentReaction
  | IntegrationTest

/**
 * A post became visible for the first time. Once per post.
 */
export interface PostCreated {
  event: 'post.created'
  workspace: Workspace
  post: Post
}
/**
 * The workspace that it happened in.
 */
export interface Workspace {
  /**
   * Its id, as the application's.
   */
  id: string
  /**
   * Its name.
   */
  name: string | null
  /**
   * Its slug: part of its address.
   */
  slug: string | null
}
/**
 * The post as the transaction saw it: fixed when the event happened, the same in retries and redeliveries.
 */
export interface Post {
  /**
   * Its id.
   */
  id: string
  /**
   * Its title.
   */
  title: string | null
  /**
   * Its text, plain, with its line breaks.
   */
  content: string | null
  /**
   * Where it is read; null without a slug.
   */
  url: string | null
  /**
   * What the transaction saw. featul counts after voting, each step a transaction of its own: 0 in post.created (the author's own vote is counted next), and one less than the page shows in post.upvoted.
   */
  upvotes: number
  /**
   * The name of its board.
   */
  board: string | null
  /**
   * Its roadmap status, an id of the board's list of statuses; null where none was set, which featul shows as the first of that list.
   */
  status: string | null
  author: Author
  /**
   * When it was made. ISO 8601, UTC, to the second; null where the application has none.
   */
  createdAt: string | null
  /**
   * The address of its image.
   */
  image: string | null
  /**
   * Present where content or title was cut, so that the whole body has at most 65,536 bytes.
   */
  truncated?: true
}
/**
 * Who wrote the post: "Anonymous" without e-mail where that is not known or not to be, "Member" on a board that hides identities.
 */
export interface Author {
  /**
   * A name; one that is an e-mail address is cut before the @.
   */
  name: string
  /**
   * The e-mail address.
   */
  email: string | null
}
/**
 * The roadmap status of a visible post changed.
 */
export interface PostStatusChanged {
  event: 'post.status_changed'
  workspace: Workspace
  post: Post
  /**
   * From what to what.
   */
  changes: {
    /**
     * The roadmap status.
     */
    status: {
      /**
       * The former one.
       */
      from: string | null
      /**
       * The present one.
       */
      to: string | null
    }
  }
}
/**
 * A visible post was pinned.
 */
export interface PostPinned {
  event: 'post.pinned'
  workspace: Workspace
  post: Post
  /**
   * From what to what.
   */
  changes: {
    /**
     * The flag.
     */
    pinned: {
      from: false
      to: true
    }
  }
}
/**
 * A visible post was featured.
 */
export interface PostFeatured {
  event: 'post.featured'
  workspace: Workspace
  post: Post
  /**
   * From what to what.
   */
  changes: {
    /**
     * The flag.
     */
    featured: {
      from: false
      to: true
    }
  }
}
/**
 * A visible post was locked.
 */
export interface PostLocked {
  event: 'post.locked'
  workspace: Workspace
  post: Post
  /**
   * From what to what.
   */
  changes: {
    /**
     * The flag.
     */
    locked: {
      from: false
      to: true
    }
  }
}
/**
 * Someone other than its author voted for a visible post.
 */
export interface PostUpvoted {
  event: 'post.upvoted'
  workspace: Workspace
  post: Post
  /**
   * The vote.
   */
  vote: {
    author: Person
  }
}
/**
 * Someone, by name alone.
 */
export interface Person {
  /**
   * As the post's author's.
   */
  name: string
}
/**
 * The upvotes of a visible post reached a milestone; once for each, for ever.
 */
export interface PostMilestone {
  event: 'post.milestone'
  workspace: Workspace
  post: Post
  /**
   * The milestone: the highest of those passed at once.
   */
  milestone: 10 | 50 | 100
}
/**
 * A public comment became visible for the first time, on a visible post.
 */
export interface CommentCreated {
  event: 'comment.created'
  workspace: Workspace
  post: Post
  comment: Comment
}
/**
 * The comment, which is public.
 */
export interface Comment {
  /**
   * Its id.
   */
  id: string
  /**
   * Its text, plain; empty where it is an image alone.
   */
  content: string | null
  /**
   * Who wrote it; a guest's name is the one given.
   */
  author: {
    /**
     * As the post's author's.
     */
    name: string
    /**
     * The role in the workspace; null for anyone else.
     */
    role: 'owner' | 'admin' | 'member' | 'viewer' | null
  }
  /**
   * When it was made. ISO 8601, UTC, to the second; null where the application has none.
   */
  createdAt: string | null
  /**
   * Present where its content was cut, as for a post.
   */
  truncated?: true
}
/**
 * A public comment mentions someone other than its author.
 */
export interface CommentMention {
  event: 'comment.mention'
  workspace: Workspace
  post: Post
  comment: Comment
  /**
   * Who is mentioned.
   */
  mention: {
    /**
     * As the post's author's.
     */
    name: string
  }
}
/**
 * Someone other than its author reacted to a public comment, or changed a reaction.
 */
export interface CommentReaction {
  event: 'comment.reaction'
  workspace: Workspace
  post: Post
  comment: Comment
  /**
   * The reaction.
   */
  reaction: {
    /**
     * upvote or downvote in featul.
     */
    type: string | null
    author: Person
  }
}
/**
 * A test, sent by integration_test().
 */
export interface IntegrationTest {
  event: 'integration.test'
  workspace: Workspace
  /**
   * Words for a human reader.
   */
  message: string
}
