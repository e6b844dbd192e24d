import type { KnownBlock, MessageAttachment } from '@slack/types'
import type { RESTPostAPIWebhookWithTokenJSONBody } from 'discord-api-types/v10'

/** What an incoming webhook of Slack takes. */
export interface SlackMessage {
  text: string
  blocks?: KnownBlock[]
  attachments?: MessageAttachment[]
  unfurl_links?: boolean
  unfurl_media?: boolean
}

/** What a webhook of Discord takes. */
export type DiscordMessage = RESTPostAPIWebhookWithTokenJSONBody
