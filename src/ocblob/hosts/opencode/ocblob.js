// ocblob plugin 0.1.0
//
// Gives OpenCode the attachments back that ocblob has moved out of its database, and moves new ones out before they
// are stored. One file, no dependencies; runs where OpenCode runs (Bun) and in Node.
//
// Three invariants. Nothing throws: a hook that throws ends the user's turn. Nothing is printed: stdout belongs to
// `opencode export`. What cannot be done leaves the attachment as it is, or says in words that it is not there.
//
// Installed by `ocblob plugin install`; docs/opencode.md has the options.

import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import fs from "node:fs"
import os from "node:os"
import path from "node:path"
import zlib from "node:zlib"

const VERSION = "0.1.0"
const MIB = 1 << 20
const LOWEST = 10 // of priorities: a nice value

const CATS_AT_ONCE = 4
const PUTS_AT_ONCE = 4
const CAT_TIMEOUT_MS = 300_000
const PUT_TIMEOUT_MS = 60_000
const STATUS_TIMEOUT_MS = 60_000
const LOOK_AFTER_MS = 20_000 // not beside the turn that may follow at once
const FAILURE_KEPT_MS = 60_000 // a blob that could not be had is asked for again after this
const COMMAND_RETRY_MS = 300_000 // and so is a command that could not be run
const PASS_MAX_MS = 3_600_000 // a pass that claims to run for longer is taken for dead
const PASS_EVERY_MS_MIN = 1000
const AFTER_RESCAN_MS = 5000 // a maintain pass looks this often whether a re-scan of this host has ended
const TOLD_CODES = [0, 3, 4, 11] // of a maintain pass: done, incomplete, a size warning, another one is at work
const LOCK_MAX_MS = 60_000 // it is held for less than one
const TIMER_MS_MAX = 2 ** 31 - 1 // longer ones ring at once
const STDERR_CHARS_MAX = 4096
const JSON_BYTES_MAX = MIB

// ---- options --------------------------------------------------------------------------------------------------

const DEFAULTS = {
  command: ["ocblob"],
  store: "",
  objects: "",
  db: "",
  environment: {},
  ingest: true,
  rescan: true,
  rescanMinutes: 5,
  minSize: 8192, // characters of base64, as `ocblob offload --min-size`
  cacheMB: 64,
  maintainMinutes: 60,
  maxSizeMB: null, // null leaves this and what follows to the rest of ocblob's configuration
  maxAgeDays: null,
  maxSessions: null, // with one of these three sessions are retained, by `ocblob maintain`; with a mirror mirrored
  by: null,
  keepActiveDays: null,
  keep: null,
  archive: null,
  archiveRefs: null,
  mirror: null,
  vacuum: null,
  warnMB: null,
  offload: null,
  prune: null,
  evictMaxSizeMB: null,
  evictMaxAgeDays: null,
}
const isAmount = (value) => typeof value === "number" && Number.isFinite(value)
const LIMITS = {
  maxSizeMB: (value) => isAmount(value) && value > 0,
  maxAgeDays: (value) => isAmount(value) && value > 0,
  maxSessions: (value) => Number.isSafeInteger(value) && value > 0,
}
const SESSIONS = {
  ...LIMITS,
  by: (value) => value === "created" || value === "used",
  keepActiveDays: (value) => isAmount(value) && value >= 0,
  keep: (value) => Array.isArray(value) && value.every(isText),
  archive: (value) => value === false || isText(value),
  archiveRefs: (value) => typeof value === "boolean",
  mirror: (value) => isText(value),
  vacuum: (value) => ["auto", "always", "never"].includes(value),
}

/** The options as they are meant; what cannot be meant is told and left at its default. */
function settings(given, tell) {
  const found = { ...DEFAULTS, unclear: [] }
  if (given === undefined || given === null) return found
  if (typeof given !== "object" || Array.isArray(given)) {
    tell("warn", `the options are no object and count for nothing: ${describe(given)}`)
    return found
  }
  for (const [name, value] of Object.entries(given)) {
    const option = name === "command" && typeof value === "string" ? [value] : value
    const known = Object.hasOwn(DEFAULTS, name)
    if (known && fits(name, option)) found[name] = option
    else if (!known) tell("warn", `unknown option ${name}; known are ${Object.keys(DEFAULTS).join(", ")}`)
    else if (Object.hasOwn(SESSIONS, name)) {
      // What was meant to keep something must not come to keep less.
      found.unclear.push(name)
      tell("warn", `option ${name}: ${describe(value)} cannot be meant; no session is retained until it is mended`)
    } else tell("warn", `option ${name}: ${describe(value)} cannot be meant; ${describe(DEFAULTS[name])} counts`)
  }
  return found
}

/** Whether sessions are to be mirrored or retained: there is a mirror or a limit, and nothing about it is unclear. */
const maintains = (options) =>
  options.unclear.length === 0 && ["mirror", ...Object.keys(LIMITS)].some((name) => options[name] !== null)

function fits(name, value) {
  const usual = DEFAULTS[name]
  if (Object.hasOwn(SESSIONS, name)) return value === null || SESSIONS[name](value)
  if (usual === null) return true
  if (name === "command") return Array.isArray(value) && value.length > 0 && value.every(isText)
  if (name === "store" && typeof value === "string") return isFixed(value)
  if (name === "environment") return isObject(value) && Object.values(value).every((item) => typeof item === "string")
  if (typeof usual === "number") return typeof value === "number" && Number.isFinite(value) && value >= 0
  return typeof value === typeof usual
}

/** Not relative: that would be another store in each project. */
const isFixed = (place) => place === "" || path.isAbsolute(place) || place.includes("://") || /^~[/\\]/.test(place)

function describe(value) {
  try {
    return (JSON.stringify(value) ?? String(value)).slice(0, 200)
  } catch {
    return "a value that cannot be shown"
  }
}

const isText = (value) => typeof value === "string" && value !== ""
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value)

// ---- refs: the text form of docs/design.md, parsed as strictly as Python does -----------------------------------

const MARKER = "ocblob/1 "
const MARKER_BASE64 = "b2NibG9iLzEg"
const PLACEHOLDER_BYTES_MAX = 8192
const REF_CHARS_MAX = Math.ceil(PLACEHOLDER_BYTES_MAX / 3) * 4
const HEADER_BYTES_MAX = 1024
const HEADER = /^[^"\\,\x00-\x1f]*;base64$/i
const BLANKS = /^([^\S\ufeff]|\x85)+|([^\S\ufeff]|\x85)+$/g // what Python strips
const LINE = /ocblob\/1 ([0-9a-f]{64}) (0|[1-9][0-9]{0,15})((?: [a-z][a-z0-9_-]*=[!-~]*)*)\n/y

const ALIASES = {
  "application/x-pdf": "application/pdf",
  "audio/vnd.wave": "audio/wav",
  "audio/wave": "audio/wav",
  "audio/x-pn-wav": "audio/wav",
  "audio/x-wav": "audio/wav",
  "image/jpg": "image/jpeg",
  "image/pjpeg": "image/jpeg",
  "image/svg": "image/svg+xml",
  "image/x-png": "image/png",
}
const MAGIC = {
  "application/pdf": [0, "%PDF-"],
  "audio/wav": [0, "RIFF"],
  "image/gif": [0, "GIF8"],
  "image/jpeg": [0, "\xff\xd8\xff"],
  "image/png": [0, "\x89PNG"],
  "image/svg+xml": [0, "<"],
  "image/webp": [0, "RIFF"],
  "video/mp4": [4, "ftyp"],
  "video/quicktime": [4, "ftyp"],
}

/** A data URL cut at its comma: `{ header, payload, mime }`, or null for any other text. */
function cutDataUrl(url) {
  if (typeof url !== "string" || !url.startsWith("data:")) return null
  const comma = url.indexOf(",", 5)
  const header = url.slice(5, comma)
  if (comma < 0 || Buffer.byteLength(header) > HEADER_BYTES_MAX || !HEADER.test(header)) return null
  const declared = header.split(";", 1)[0].replace(BLANKS, "").toLowerCase() || "text/plain"
  return { header, payload: url.slice(comma + 1), mime: ALIASES[declared] ?? declared }
}

/** The ref `{ digest, size, header }` that a data URL is, or null. */
function parseRef(url) {
  if (typeof url !== "string" || url.length > REF_CHARS_MAX + HEADER_BYTES_MAX + 6) return null
  const cut = cutDataUrl(url)
  if (!cut || cut.payload.length > REF_CHARS_MAX || !cut.payload.includes(MARKER_BASE64)) return null
  const data = decodeExactly(cut.payload)
  if (!data) return null
  const text = data.toString("latin1")
  const at = text.indexOf(MARKER)
  if (at < 0 || at % 3 !== 0 || text.indexOf(MARKER, at + 1) >= 0 || !isPlaceholder(cut.mime, text)) return null
  LINE.lastIndex = at
  const found = LINE.exec(text)
  const size = found ? Number(found[2]) : NaN
  return Number.isSafeInteger(size) ? { digest: found[1], size, header: cut.header } : null
}

function isPlaceholder(mime, text) {
  const [offset, magic] = MAGIC[mime] ?? []
  if (magic !== undefined) return text.startsWith(magic, offset)
  return !mime.startsWith("image/") && text.startsWith("ocblob/") && text.indexOf("\n") === text.length - 1
}

/** The bytes of canonical base64, or null: encoding them again gives exactly the same text. */
function decodeExactly(text) {
  if (text.length % 4 !== 0) return null
  const data = Buffer.from(text, "base64")
  return data.toString("base64") === text ? data : null
}

// ---- objects: one blob as it lies in a local directory -----------------------------------------------------------

const OBJECT_HEADER_BYTES = 84
const FRAME_BYTES = MIB
const FRAME_PACKED_BYTES_MAX = FRAME_BYTES + FRAME_BYTES / 128
const ZSTD_MAGIC = 0xfd2fb528
const FRAMES_AT_A_STRETCH = 16 // then others get their turn

/** The base64 text of a blob out of its object file, or null if this is not one that may be trusted as it lies there.
 *
 * Magic, version, digest, size and CRC of the header are checked, and each frame by its own checksum. */
async function readPayload(file, ref) {
  if (typeof zlib.zstdDecompressSync !== "function") return null
  let packed
  try {
    packed = await fs.promises.readFile(file)
  } catch {
    return null
  }
  if (packed.length < OBJECT_HEADER_BYTES || !isObjectHeader(packed, ref)) return null
  let payload = ""
  let rest = Buffer.alloc(0) // of a frame, what does not fill four characters
  let from = OBJECT_HEADER_BYTES
  for (let at = 0, count = 1; at < ref.size; count++) {
    const end = frameEnd(packed, from)
    if (end < 0) return null
    const frame = zlib.zstdDecompressSync(packed.subarray(from, end), { maxOutputLength: FRAME_BYTES })
    if (frame.length !== Math.min(ref.size - at, FRAME_BYTES)) return null
    at += frame.length
    from = end
    const data = rest.length > 0 ? Buffer.concat([rest, frame]) : frame
    const cut = at < ref.size ? data.length - (data.length % 3) : data.length
    payload += data.toString("base64", 0, cut)
    rest = data.subarray(cut)
    if (count % FRAMES_AT_A_STRETCH === 0) await new Promise(setImmediate)
  }
  return payload
}

function isObjectHeader(packed, ref) {
  return (
    packed.readUInt32LE(0) === 0x184d2a5e &&
    packed.readUInt32LE(4) === OBJECT_HEADER_BYTES - 8 &&
    packed.toString("latin1", 8, 16) === "ocblob\r\n" &&
    packed.readBigUInt64LE(16) === 1n &&
    packed.toString("hex", 24, 56) === ref.digest &&
    packed.readBigUInt64LE(72) === BigInt(ref.size) &&
    packed.readUInt32LE(80) === zlib.crc32(packed.subarray(0, 80))
  )
}

/** Where the zstd frame that begins at `from` ends (RFC 8878, 3.1.1), or -1: a foreign frame, or cut off. */
function frameEnd(packed, from) {
  if (from + 6 > packed.length || packed.readUInt32LE(from) !== ZSTD_MAGIC) return -1
  const flags = packed[from + 4]
  const single = (flags >> 5) & 1
  if (!(flags & 4) || flags & 3) return -1 // no checksum, or a dictionary
  let at = from + 5 + (single ? 0 : 1) + [single, 2, 4, 8][flags >> 6]
  for (let last = false; !last; ) {
    if (at + 3 > packed.length) return -1
    const block = packed.readUIntLE(at, 3)
    last = (block & 1) === 1
    at += 3 + (((block >> 1) & 3) === 1 ? 1 : block >> 3)
  }
  const end = at + 4
  return end <= packed.length && end - from <= FRAME_PACKED_BYTES_MAX ? end : -1
}

// ---- the ocblob command ------------------------------------------------------------------------------------------

/** Runs `ocblob`; a verb that did not start, or did not end, is not tried again for some minutes: it would hold up
 * every turn. */
class Command {
  #options
  #dead = new Map() // verb -> { until, error }

  constructor(options) {
    this.#options = options
  }

  get environment() {
    return { ...process.env, ...this.#options.environment }
  }

  /** The words of a whole command line. */
  line(verb, ...words) {
    const { command, store } = this.#options
    return [...command, verb, ...words, ...(store ? ["--store", store] : [])]
  }

  /** What it prints, as bytes. Rejects with its own words if it fails, is not there, takes too long, or prints more
   * than `bytesMax`. */
  async run([verb, ...words], wanted) {
    const dead = this.#dead.get(verb)
    if (Date.now() < dead?.until) throw dead.error
    try {
      return await output(this.line(verb, ...words), { ...wanted, env: this.environment })
    } catch (error) {
      if (error instanceof Unusable) this.#dead.set(verb, { until: Date.now() + COMMAND_RETRY_MS, error })
      throw error
    }
  }
}

class Unusable extends Error {}

function output(words, { input, timeoutMs, bytesMax, env, accepted = [0], hurry = true }) {
  return new Promise((resolve, reject) => {
    const child = spawn(words[0], words.slice(1), { stdio: ["pipe", "pipe", "pipe"], env, windowsHide: true })
    if (!hurry) attempt(() => os.setPriority(child.pid, LOWEST))
    const out = []
    let room = bytesMax
    let said = ""
    const giveUp = (error) => {
      clearTimeout(timer)
      child.stdout?.destroy()
      child.kill("SIGKILL")
      reject(error)
    }
    const timer = setTimeout(() => giveUp(new Unusable(`${words[0]} took over ${timeoutMs / 1000} s`)), timeoutMs)
    child.on("error", (error) => giveUp(new Unusable(error.message)))
    child.stdin.on("error", () => {}) // it ended before it had read all: its exit code tells why
    child.stdout.on("data", (chunk) => {
      out.push(chunk)
      room -= chunk.length
      if (room < 0) giveUp(new Error(`${words[0]} gave more than ${bytesMax} bytes`))
    })
    child.stderr.on("data", (chunk) => (said = (said + chunk).slice(-STDERR_CHARS_MAX)))
    child.on("close", (code, signal) => {
      clearTimeout(timer)
      if (accepted.includes(code)) return resolve(Buffer.concat(out))
      const error = new Error(lastError(said) || `${words[0]} gave ${code ?? signal}`)
      reject(Object.assign(error, { begun: out.length > 0 }))
    })
    child.stdin.end(input)
  })
}

function lastError(said) {
  const lines = said.trim().split("\n")
  return (lines.findLast((line) => line.startsWith("Error: ")) ?? lines.at(-1)).replace(/^Error: /, "")
}

// ---- blobs: payloads by digest, a bounded number of them kept ------------------------------------------------------

class Blobs {
  #objects
  #command
  #charsMax
  #chars = 0
  #kept = new Map() // digest -> { payload: Promise<string>, chars }, the least recently used first
  #reads = limiter(1) // a read is all work and memory of this process: side by side they would gain nothing
  #cats = limiter(CATS_AT_ONCE)

  constructor(objects, command, charsMax) {
    this.#objects = objects
    this.#command = command
    this.#charsMax = charsMax
  }

  /** The base64 text of a blob; rejects with the reason if it cannot be had. */
  payload(ref) {
    const key = `${ref.digest} ${ref.size}`
    const kept = this.#kept.get(key)
    if (kept) {
      this.#kept.delete(key)
      this.#kept.set(key, kept)
      return kept.payload
    }
    const entry = { payload: this.#read(ref), chars: 0 }
    this.#kept.set(key, entry)
    entry.payload.then(
      (payload) => this.#weigh(key, entry, payload.length),
      () => setTimeout(() => this.#drop(key, entry), FAILURE_KEPT_MS).unref?.(),
    )
    return entry.payload
  }

  /** Whatever its ref says, a blob counts when it has come; one that is too large for the cache goes at once. */
  #weigh(key, entry, chars) {
    if (chars > this.#charsMax) return this.#drop(key, entry)
    entry.chars = chars
    this.#chars += chars
    for (const [oldest, other] of this.#kept) {
      if (this.#chars <= this.#charsMax) break
      if (other.chars > 0) this.#drop(oldest, other)
    }
  }

  #drop(key, entry) {
    if (this.#kept.get(key) !== entry) return
    this.#kept.delete(key)
    this.#chars -= entry.chars
  }

  async #read(ref) {
    const file = this.#objects && path.join(this.#objects, ref.digest.slice(0, 2), ref.digest.slice(2))
    const local = file ? await this.#reads(() => readPayload(file, ref)).catch(() => null) : null
    if (local !== null) return local
    // Not here, or not as it was written: ocblob looks everywhere, verifies, and repairs.
    const ask = () => this.#command.run(["cat", ref.digest], { timeoutMs: CAT_TIMEOUT_MS, bytesMax: ref.size })
    const data = await this.#cats(() =>
      ask().catch((error) => {
        if (!error.begun) throw error
        return ask() // what was found to be damaged midway has been put aside
      }),
    )
    if (data.length !== ref.size) throw new Error(`the blob has ${data.length} bytes, the reference says ${ref.size}`)
    return data.toString("base64")
  }
}

/** At most `count` tasks at a time; each returns its own promise. */
function limiter(count) {
  let free = count
  const waiting = []
  return async (task) => {
    if (free > 0) free--
    else await new Promise((resolve) => waiting.push(resolve))
    try {
      return await task()
    } finally {
      if (waiting.length > 0) waiting.shift()()
      else free++
    }
  }
}

// ---- out of the store: what the model gets to see ------------------------------------------------------------------

const UNSENT = new Set(["text/plain", "application/x-directory"]) // their text stands in a part of its own

/** Puts the payload of every ref into messages that are on their way to the model. Parts are replaced, never changed:
 * somebody may hold the same object and store it. */
async function rehydrate(messages, blobs, tell) {
  const waiting = []
  for (const parts of messages.map((message) => message?.parts).filter(Array.isArray)) {
    for (const [index, part] of parts.entries()) {
      if (part?.type === "file" && !UNSENT.has(part.mime) && parseRef(part.url)) {
        waiting.push(wholeFile(part, blobs, tell).then((file) => (parts[index] = file)))
      } else if (part?.type === "tool" && hasRefs(part.state)) {
        waiting.push(wholeState(part, blobs, tell).then((state) => (parts[index] = { ...part, state })))
      }
    }
  }
  await Promise.all(waiting)
}

const hasRefs = (state) =>
  state?.status === "completed" &&
  !state.time?.compacted && // OpenCode sends nothing of it any more
  Array.isArray(state.attachments) &&
  state.attachments.some((file) => parseRef(file?.url))

async function wholeFile(part, blobs, tell) {
  const { file, lost } = await whole(part, blobs, tell)
  if (file) return file
  const { id, sessionID, messageID } = part
  return { id, sessionID, messageID, type: "text", synthetic: true, text: lost }
}

async function wholeState(part, blobs, tell) {
  const found = await Promise.all(part.state.attachments.map((file) => whole(file, blobs, tell)))
  const lost = found.map((item) => item.lost).filter(Boolean)
  return {
    ...part.state,
    output: [part.state.output, ...lost].join("\n\n"),
    attachments: found.map((item) => item.file).filter(Boolean),
  }
}

/** `{ file }` with its payload in place, or `{ lost }`: words that say why it is not there. */
async function whole(file, blobs, tell) {
  const ref = parseRef(file?.url)
  if (!ref) return { file }
  try {
    return { file: { ...file, url: `data:${ref.header},${await blobs.payload(ref)}` } }
  } catch (error) {
    const name = file.filename ? `"${file.filename}" ` : ""
    const lost = `[The attachment ${name}(${file.mime}, ${ref.size} bytes) is not available: ${error?.message ?? error}]`
    tell("warn", lost)
    return { lost }
  }
}

// ---- into the store: attachments before OpenCode stores them -------------------------------------------------------

const RASTER = new Set(["image/gif", "image/jpeg", "image/png", "image/webp"])
const RESIZE = { auto_resize: true, max_width: 2000, max_height: 2000, max_base64_bytes: 5_242_880 } // OpenCode's own
const MCP_TYPES = new Set([...RASTER, "application/pdf"])
const MCP_BYTES_MAX = 10_485_760 // OpenCode leaves larger resources out: it must see the real size

class Ingest {
  #options
  #command
  #databases
  #tell
  #puts = limiter(PUTS_AT_ONCE)
  resize = RESIZE

  constructor(options, command, databases, tell) {
    this.#options = options
    this.#command = command
    this.#databases = databases
    this.#tell = tell
  }

  /** The file part or attachment with a ref in it, or as it was. */
  async file(file) {
    if (!isObject(file) || (file.type !== undefined && file.type !== "file")) return file
    const url = await this.#reference(file.url, file.mime)
    return url ? { ...file, url } : file
  }

  /** One item of what an MCP tool has answered; its payloads carry no `data:` yet. */
  async mcp(item) {
    if (item?.type === "image") {
      const data = await this.#bare(item.data, item.mimeType)
      return data ? { ...item, data } : item
    }
    const resource = item?.type === "resource" ? item.resource : undefined
    if (isText(resource?.blob) && MCP_TYPES.has(resource.mimeType)) {
      const small = (resource.blob.length / 4) * 3 <= MCP_BYTES_MAX
      const blob = small ? await this.#bare(resource.blob, resource.mimeType) : null
      return blob ? { ...item, resource: { ...resource, blob } } : item
    }
    return item
  }

  async #bare(payload, mime) {
    if (!isText(payload) || !isText(mime)) return null
    const url = await this.#reference(`data:${mime};base64,${payload}`, mime)
    return url ? url.slice(url.indexOf(",") + 1) : null
  }

  /** The data URL that stands for another one once its bytes are safe in the store; null if it has to stay. */
  async #reference(url, mime) {
    if (typeof url !== "string" || url.length < this.#options.minSize) return null
    const cut = cutDataUrl(url)
    if (!cut || cut.payload.length < this.#options.minSize || parseRef(url)) return null
    try {
      // Decoded only when it is its turn: a message may bring many large ones.
      return await this.#puts(async () => {
        const data = decodeExactly(cut.payload)
        return data && this.#passesUnchanged(cut, data, mime) ? this.#put(cut, data) : null
      })
    } catch (error) {
      this.#tell("warn", `an attachment stays in the database: ${error?.message ?? error}`)
      return null
    }
  }

  async #put(cut, data) {
    const type = cut.header.split(";", 1)[0].trim() || "text/plain"
    let printed
    for (const database of this.#databases()) {
      const words = ["put", "-", "--no-create", "--json", "--mime", type, "--db", database]
      const said = await this.#command.run(words, { input: data, timeoutMs: PUT_TIMEOUT_MS, bytesMax: JSON_BYTES_MAX })
      printed = JSON.parse(said)
    }
    if (!printed) throw new Error("OpenCode's database was not found")
    const payload = cutDataUrl(printed.url)?.payload
    const url = `data:${cut.header},${payload}`
    const ref = payload && payload.length < cut.payload.length ? parseRef(url) : null
    if (!ref || ref.digest !== printed.digest || ref.size !== data.length) return null // not worth it, or not ours
    return url
  }

  /** Whether OpenCode stores these bytes as they are: images that it would make smaller it must see itself. */
  #passesUnchanged(cut, data, mime) {
    if (!cut.mime.startsWith("image/") && !String(mime).startsWith("image/")) return true
    if (!RASTER.has(cut.mime)) return false
    const size = imageSize(data)
    const { max_width, max_height, max_base64_bytes } = this.resize
    if (!size || size.includes(0)) return false
    return size[0] <= max_width && size[1] <= max_height && cut.payload.length <= max_base64_bytes
  }
}

/** `[width, height]` of a PNG, GIF, JPEG or WebP. Null for anything else, and for one that is damaged or cut off: it is
 * for OpenCode to refuse, before it is part of a session. */
function imageSize(data) {
  try {
    if (data.readUInt32BE(0) === 0x89504e47) return pngSize(data)
    if (data.toString("latin1", 0, 4) === "GIF8" && data.at(-1) === 0x3b) return gifSize(data)
    if (data.readUInt16BE(0) === 0xffd8 && data.readUInt16BE(data.length - 2) === 0xffd9) return jpegSize(data)
    if (data.toString("latin1", 8, 12) === "WEBP" && data.readUInt32LE(4) + 8 <= data.length) return webpSize(data)
  } catch {
    // It ends where something should stand.
  }
  return null
}

const gifSize = (data) => [data.readUInt16LE(6), data.readUInt16LE(8)]

function pngSize(data) {
  for (let at = 8; ; ) {
    const end = at + 8 + data.readUInt32BE(at)
    if (data.readUInt32BE(end) !== zlib.crc32(data.subarray(at + 4, end))) return null
    if (data.toString("latin1", at + 4, at + 8) === "IEND") return [data.readUInt32BE(16), data.readUInt32BE(20)]
    at = end + 4
  }
}

function jpegSize(data) {
  for (let at = 2; ; ) {
    while (data[at] === 0xff && data[at + 1] === 0xff) at++
    const code = data[at + 1]
    if (data[at] !== 0xff) return null
    // SOF0 to SOF2; few decode what begins with another one.
    if (code >= 0xc0 && code <= 0xc2) return [data.readUInt16BE(at + 7), data.readUInt16BE(at + 5)]
    at += 2 + data.readUInt16BE(at + 2)
  }
}

function webpSize(data) {
  const kind = data.toString("latin1", 12, 16)
  if (kind === "VP8X") return [1 + data.readUIntLE(24, 3), 1 + data.readUIntLE(27, 3)]
  if (kind === "VP8 ") return [data.readUInt16LE(26) & 0x3fff, data.readUInt16LE(28) & 0x3fff]
  if (kind !== "VP8L") return null
  const bits = data.readUInt32LE(21)
  return [1 + (bits & 0x3fff), 1 + ((bits >> 14) & 0x3fff)]
}

// ---- passes in the background ---------------------------------------------------------------------------------------

/** Starts passes of one kind in processes of their own: they go on when the host ends, and never two at once for a
 * database. A kind is `{ name, file, minutes, wanted(), busy(), words(database), environment, begun(), ended(code, said) }`. */
class Passes {
  #kind
  #command
  #database
  #tell
  #timer = null
  running = 0

  constructor(kind, command, database, tell) {
    this.#kind = kind
    this.#command = command
    this.#database = database
    this.#tell = tell
  }

  /** Start one if it is wanted: now, or as soon as it is due. */
  look() {
    if (this.#timer || !this.#kind.wanted()) return
    let wait = 0
    try {
      wait = this.#start()
    } catch (error) {
      this.#tell("warn", `no ${this.#kind.name}: ${error?.message ?? error}`)
    }
    if (wait > 0) {
      this.#timer = setTimeout(() => {
        this.#timer = null
        this.look()
      }, Math.min(wait, TIMER_MS_MAX))
      this.#timer.unref?.()
    }
  }

  stop() {
    clearTimeout(this.#timer)
    this.#timer = null
  }

  /** Start a pass if none runs and one is due; else how many milliseconds to wait. */
  #start() {
    const { name, file, minutes, busy, words, environment, begun, ended } = this.#kind
    const database = this.#database()
    if (!database) return 0
    if (busy()) return AFTER_RESCAN_MS
    const turn = new Turn(database, file, minutes * 60_000)
    const wait = turn.take()
    if (wait > 0) return wait
    const line = this.#command.line(...words(database))
    const log = fs.openSync(turn.log, "w", 0o600)
    try {
      const child = spawn(line[0], line.slice(1), {
        detached: true, // in a session of its own: it lives on when the host is killed
        stdio: ["ignore", "ignore", log],
        env: { ...this.#command.environment, ...environment },
        windowsHide: true,
      })
      child.on("error", (error) => this.#tell("warn", `no ${name}: ${error.message}`))
      child.on("exit", (code, signal) => {
        this.running--
        ended(code ?? signal, turn.said())
      })
      if (child.pid) {
        this.running++
        turn.holds(child.pid)
        attempt(() => os.setPriority(child.pid, LOWEST)) // a courtesy
      }
      child.unref()
      begun()
    } finally {
      fs.closeSync(log)
    }
    return 0
  }
}

/** What ingestion leaves is moved out when a session rests. */
class Rescan {
  #sessions = new Set()
  #passes

  constructor(options, command, database, tell) {
    const least = Math.min(Math.floor(options.minSize), Number.MAX_SAFE_INTEGER)
    const kind = {
      name: "re-scan",
      file: "pass",
      minutes: options.rescanMinutes,
      wanted: () => this.#sessions.size > 0,
      busy: () => false,
      words: (path) => {
        const sessions = [...this.#sessions].flatMap((session) => ["--session", session])
        return ["offload", "--no-plugin", "--no-create", "--quiet", "--min-size", String(least), "--db", path, ...sessions]
      },
      begun: () => this.#sessions.clear(),
      ended: (code, said) => {
        if (code !== 0) tell(code === 3 ? "info" : "warn", `the re-scan gave ${code}: ${said}`)
      },
    }
    this.#passes = new Passes(kind, command, database, tell)
  }

  get running() {
    return this.#passes.running > 0
  }

  /** A session rests: it is looked at now, or as soon as a pass is due. */
  idle(session) {
    if (isText(session)) this.#sessions.add(session)
    this.#passes.look()
  }

  stop() {
    this.#passes.stop()
  }
}

/** Sessions are mirrored, and retained by the entry's limits, after a re-scan: `ocblob maintain` does it. */
class Maintenance {
  #due = false
  #passes

  constructor(options, command, database, tell, rescan) {
    const kind = {
      name: "maintain pass",
      file: "maintain",
      minutes: options.maintainMinutes,
      wanted: () => this.#due,
      busy: () => rescan.running,
      words: (path) => ["maintain", "--scheduled", "--quiet", "--no-plugin", "--no-create", "--db", path],
      environment: { OCBLOB_PLUGIN_OPTIONS: JSON.stringify(aboutSessions(options)) },
      begun: () => (this.#due = false),
      ended: (code, said) => {
        if (!TOLD_CODES.includes(code)) return tell("warn", `the maintain pass gave ${code}: ${said}`)
        for (const line of said.split("\n").filter(isText)) {
          const [, warning] = /^warning: (.*)/i.exec(line) ?? []
          tell(warning ? "warn" : "info", warning ?? line.trim())
        }
      },
    }
    this.#passes = new Passes(kind, command, database, tell)
  }

  /** The host rests. */
  idle() {
    this.#due = true
    this.#passes.look()
  }

  stop() {
    this.#passes.stop()
  }
}

/** What this entry says about sessions: ocblob takes it for the plugin's options, in their rank among all settings. */
function aboutSessions(options) {
  const said = Object.entries(options).filter(([name, value]) => DEFAULTS[name] === null && value !== null)
  // A relative path begins at the file that says it, which is known to ocblob where the entry is the user's.
  const isPlace = (name) => name === "archive" || name === "mirror"
  return Object.fromEntries(said.filter(([name, value]) => !isPlace(name) || value === false || isFixed(value)))
}

/** A file that says when the last pass over a database began and who runs it; hosts take turns by it. */
class Turn {
  #file
  #everyMs

  constructor(database, kind, everyMs) {
    const directory = path.join(stateDirectory(), "ocblob", "plugin")
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
    const name = createHash("sha256").update(database).digest("hex").slice(0, 16)
    this.#file = path.join(directory, `${kind}-${name}`)
    this.#everyMs = Math.max(everyMs, PASS_EVERY_MS_MIN)
    this.log = `${this.#file}.log`
  }

  /** 0 if the turn is ours, else how many milliseconds to wait. */
  take() {
    const wait = this.#wait()
    if (wait > 0) return wait
    // Of several hosts that find it old just one may take it; one that died meanwhile is not waited for.
    const lock = `${this.#file}.lock`
    try {
      fs.writeFileSync(lock, "", { flag: "wx", mode: 0o600 })
    } catch (error) {
      if (error?.code !== "EEXIST") throw error
      if (ageMs(lock) > LOCK_MAX_MS) fs.rmSync(lock, { force: true })
      return PASS_EVERY_MS_MIN
    }
    try {
      const again = this.#wait()
      if (again === 0) this.holds(0)
      return again
    } finally {
      fs.rmSync(lock, { force: true })
    }
  }

  #wait() {
    const age = ageMs(this.#file)
    // A little into the future is now: files are stamped in finer steps than clocks are read.
    if (Math.abs(age) < this.#everyMs) return this.#everyMs - Math.max(age, 0)
    return age < PASS_MAX_MS && isAlive(Number(fs.readFileSync(this.#file, "utf8"))) ? this.#everyMs : 0
  }

  holds(pid) {
    fs.writeFileSync(this.#file, String(pid), { mode: 0o600 })
  }

  /** What the last pass had to say, in whole lines. */
  said() {
    const all = attempt(() => fs.readFileSync(this.log, "utf8"), "").trim()
    const end = all.slice(-STDERR_CHARS_MAX)
    return end === all ? all : end.slice(end.indexOf("\n") + 1)
  }
}

function isAlive(pid) {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error?.code === "EPERM"
  }
}


// ---- files and places ----------------------------------------------------------------------------------------------

const attempt = (read, otherwise) => {
  try {
    return read()
  } catch {
    return otherwise
  }
}

/** Since a file was written. Negative if a clock was set back; a long time if it is not there. */
const ageMs = (file) => Date.now() - attempt(() => fs.statSync(file).mtimeMs, 0)

const DATABASE_NAME = /^opencode(-[A-Za-z0-9._-]+)?\.db$/
const stateDirectory = () => process.env.XDG_STATE_HOME || path.join(os.homedir(), ".local", "state")
const dataDirectory = () => process.env.XDG_DATA_HOME || path.join(os.homedir(), ".local", "share")

/** Where blobs lie on this machine: as told, else in a local store that is named or is there by default. */
function objectsDirectory(options) {
  if (options.objects) return options.objects
  const store = options.store || process.env.OCBLOB_STORE || defaultStore()
  return store.includes("://") ? "" : path.join(store.replace(/^~(?=[/\\]|$)/, () => os.homedir()), "objects")
}

function defaultStore() {
  if (process.platform === "darwin") return path.join(os.homedir(), "Library", "Application Support", "ocblob", "store")
  if (process.platform === "win32") {
    return path.join(process.env.LOCALAPPDATA || path.join(os.homedir(), "AppData", "Local"), "ocblob", "store")
  }
  return path.join(dataDirectory(), "ocblob", "store")
}

/** The databases that this very host may write to: what is put for it must be registered as its own.
 *
 * Its environment tells. Where several channels have databases side by side, what it has open (Linux); elsewhere all of
 * them count, the one that was written last first. */
function ownDatabases(options) {
  const directory = path.join(dataDirectory(), "opencode")
  if (process.env.OPENCODE_DB) return [path.resolve(directory, process.env.OPENCODE_DB)]
  const names = attempt(() => fs.readdirSync(directory), []).filter((name) => DATABASE_NAME.test(name))
  const rest = (file) => Math.min(ageMs(file), ageMs(`${file}-wal`))
  const found = names.map((name) => path.join(directory, name)).sort((one, other) => rest(one) - rest(other))
  if (found.length === 0 && options.db) return [options.db]
  const open = found.length > 1 ? openFiles() : new Set()
  const own = found.filter((file) => open.has(attempt(() => fs.realpathSync(file))))
  return own.length > 0 ? own : found
}

/** What this process has open, as far as the system tells. */
function openFiles() {
  const files = attempt(() => fs.readdirSync("/proc/self/fd"), [])
  return new Set(files.map((file) => attempt(() => fs.readlinkSync(`/proc/self/fd/${file}`), "")))
}

// ---- the plugin -----------------------------------------------------------------------------------------------------

/** Words into OpenCode's own log. Each is said once: a turn has many steps. */
function teller(client) {
  const said = new Set()
  return (level, message) => {
    if (said.has(message) || said.size > 1000) return
    said.add(message)
    try {
      // Not awaited: while plugins load, the server's answer waits for them.
      Promise.resolve(client?.app?.log?.({ body: { service: "ocblob", level, message: `ocblob: ${message}` } })).catch(() => {})
    } catch {
      // There is nobody to tell.
    }
  }
}

export default async function ocblob(host, given) {
  const tell = teller(host?.client)
  const guarded = (name, hook) => async (input, output) => {
    try {
      await hook(input, output)
    } catch (error) {
      tell("error", `${name}: ${error?.stack ?? error}`)
    }
  }
  const options = settings(given, tell)
  const command = new Command(options)
  const databases = () => ownDatabases(options)
  const database = () => databases()[0]
  const blobs = new Blobs(objectsDirectory(options), command, options.cacheMB * MIB)
  const ingest = new Ingest(options, command, databases, tell)
  const rescan = new Rescan(options, command, database, tell)
  const maintenance = maintains(options) ? new Maintenance(options, command, database, tell, rescan) : null
  let look = null

  if (options.db && database() !== options.db) {
    tell("info", `this OpenCode writes to ${database()}; the plugin was installed for ${options.db}`)
  }

  const hooks = {
    "experimental.chat.messages.transform": guarded("rehydrate", (_input, output) =>
      rehydrate(output.messages, blobs, tell),
    ),
    config: guarded("config", (config) => {
      ingest.resize = { ...RESIZE, ...config?.attachment?.image }
    }),
    event: guarded("event", async ({ event }) => {
      if (event?.type !== "session.idle") return
      if (options.rescan) rescan.idle(event.properties?.sessionID)
      maintenance?.idle()
      look ??= setTimeout(() => lookAround(command, database(), tell), LOOK_AFTER_MS)
      look.unref?.()
    }),
    dispose: guarded("dispose", () => {
      clearTimeout(look)
      rescan.stop()
      maintenance?.stop()
    }),
  }
  if (options.ingest) {
    hooks["chat.message"] = guarded("ingest", async (_input, output) => {
      const parts = await Promise.all(output.parts.map((part) => ingest.file(part)))
      parts.forEach((part, index) => (output.parts[index] = part))
    })
    hooks["tool.execute.after"] = guarded("ingest", async (_input, output) => {
      if (Array.isArray(output.attachments)) {
        output.attachments = await Promise.all(output.attachments.map((file) => ingest.file(file)))
      } else if (Array.isArray(output.content)) {
        const items = await Promise.all(output.content.map((item) => ingest.mcp(item)))
        items.forEach((item, index) => (output.content[index] = item))
      }
    })
  }
  return hooks
}

/** Once a process: what only ocblob can see, and the user should know. */
async function lookAround(command, database, tell) {
  if (!database) return
  const words = ["plugin", "status", "--json", "--db", database]
  try {
    const wanted = { timeoutMs: STATUS_TIMEOUT_MS, bytesMax: JSON_BYTES_MAX, accepted: [0, 3], hurry: false }
    const found = await command.run(words, wanted)
    const { problems = [], warnings = [] } = JSON.parse(found)
    for (const problem of [...problems, ...warnings]) tell("warn", problem)
  } catch (error) {
    tell("warn", `plugin status: ${error?.message ?? error}`)
  }
}

ocblob.version = VERSION
