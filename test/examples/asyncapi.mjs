// Parses an AsyncAPI document as its own parser does: node asyncapi.mjs DOCUMENT
// Prints what that finds, and how many messages there are.

import { readFileSync } from 'node:fs'
import { Parser } from '@asyncapi/parser'

const [file] = process.argv.slice(2)
const { document, diagnostics } = await new Parser().parse(readFileSync(file, 'utf8'), { source: file })
// 0 is an error, 1 a warning; what is less is advice
for (const { code, message, path, severity } of diagnostics.filter(({ severity }) => severity <= 1))
  console.log(severity, code, path.join('.'), message)
console.log(document ? `${document.version()}: ${document.allMessages().length} messages` : 'no document')
