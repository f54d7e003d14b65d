-- SPDX-License-Identifier: MIT
-- lua-bpf dump and watch: formats of columns, the order of entries, and how fast values grow.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local map = bpf.map

kernel.root()

local COMMAND <const> = helper.LUA .. " bin/lua-bpf "

local function works(arguments)
  local output, ok = helper.run(COMMAND .. arguments)
  assert(ok, output)
  return output
end

local function misuse(pattern, arguments)
  local output, _, code = helper.run(COMMAND .. arguments)
  assert.equal(2, code, output)
  assert(output:find("^lua%-bpf: " .. pattern .. "[^\n]*\nUsage: "), output)
end

local KEY <const> = ("{ saddr = %d, port = %d }"):format(string.unpack("=I4", "\192\0\2\1"),
  string.unpack("=I2", "\0\80"))

-- A map of peers, closed at the end of the test, and its id.
local function peers()
  local m = assert(map.create {
    type = "hash", max_entries = 8, key = "struct { __be32 saddr; __be16 port; }",
    value = "struct { __u64 bytes; struct { int error; } last; }",
  })
  finally(function() map.close(m) end)
  for i, bytes in ipairs { 5000, -1, 70 } do
    m[{ saddr = string.unpack("=I4", "\192\0\2" .. string.char(i)), port = string.unpack("=I2", "\0\80") }] =
      { bytes = bytes, last = { error = -i } }
  end
  return m, map.info(m).id
end

-- The lines of a table without the map's own.
local function table_of(output)
  return (output:gsub("^[^\n]*\n", ""))
end

describe("lua-bpf dump", function()
  it("formats columns and sorts by one", function()
    local _, id = peers()
    assert.equal("saddr      port     bytes  last\n" ..
      "192.0.2.2    80    16 EiB  { error = ENOENT }\n" ..
      "192.0.2.1    80  4.88 KiB  { error = EPERM }\n" ..
      "192.0.2.3    80      70 B  { error = ESRCH }\n", table_of(works("dump " .. id ..
      " --format saddr=ip --format port=port --format=last.error=errno --format bytes=bytes --sort -bytes")))
    assert.matches("\n *%d+ +20480 +70 [^\n]*\n *%d+ +20480 +5000 [^\n]*\n… and 1 more\n$",
      works("dump --sort bytes --limit 2 " .. id))
  end)

  it("formats the entries of keys", function()
    local _, id = peers()
    local output = works(("dump %d --key '%s' --format saddr=ip --format last.error=errno"):format(id, KEY))
    assert.matches("{ saddr = 192.0.2.1, port = 20480 }  { bytes = 5000, last = { error = EPERM } }", output)
  end)

  it("refuses columns, formats and combinations that aren't there", function()
    local _, id = peers()
    misuse("%-%-format: there is no column 'sadr' %(columns: bytes, last, port, saddr%)",
      "dump --format sadr=ip " .. id)
    misuse("%-%-sort: there is no column 'value'", "dump --sort -value " .. id)
    misuse("%-%-format takes COLUMN=FORMAT with one of the formats bytes, [^\n]*, user, not 'saddr=ipv5'",
      "dump --format saddr=ipv5 " .. id)
    misuse("%-%-json has neither %-%-format nor %-%-sort", "dump --json --sort bytes " .. id)
    misuse("%-%-sort takes neither %-%-key nor a map of maps", ("dump --key '%s' --sort bytes %d"):format(KEY, id))
  end)
end)

describe("lua-bpf watch", function()
  it("formats columns and sorts by one", function()
    local _, id = peers()
    local output = table_of(works("watch --count 1 --format saddr=ip --format bytes=bytes --sort -bytes " .. id))
    assert.matches("^  key +bytes  /s  last\n" ..
      "  { saddr = 192.0.2.2, port = 20480 } +16 EiB +{ error = %-2 }\n" ..
      "  { saddr = 192.0.2.1, port = 20480 } +4.88 KiB +{ error = %-1 }\n" ..
      "  { saddr = 192.0.2.3, port = 20480 } +70 B +{ error = %-3 }\n$", output)
    local sorted = table_of(works("watch --count 1 --sort saddr " .. id))
    assert.matches("saddr = 16[^\n]*\n[^\n]*saddr = 33[^\n]*\n[^\n]*saddr = 50", sorted)
  end)

  -- What watch prints at last of a map of three counters, with one space between columns. Between two looks `seconds`
  -- pass, and the counters grow by 10, 1000 and 100.
  local function grown(seconds, options)
    local output, ok = helper.lua(([[
      local bpf = require "bpf"
      local m = assert(bpf.map.create { type = "array", max_entries = 3, value = "__u64" })
      local now = 0
      function bpf.clock() return now end
      function bpf.sleep()
        now = now + %d * 1000000000
        for i, n in ipairs { 10, 1000, 100 } do
          m[i - 1] = m[i - 1] + n
        end
        return true
      end
      os.exit(require("bpf.command") { "watch", tostring(bpf.map.info(m).id), "--count", "2", %s })]]):format(seconds,
      options))
    assert(ok, output)
    return (output:match "\n\n[^\n]*\n(.*)$":gsub(" +", " "))
  end

  it("shows how fast values grow by the time that passed", function()
    assert.equal(" key value /s\n~ 0 10 +10\n~ 1 1000 +1.00k\n~ 2 100 +100\n", grown(1, [["--interval", "1"]]))
    assert.equal(" key value /s\n~ 0 10 +1\n~ 1 1000 +100\n~ 2 100 +10\n", grown(10, [["--interval", "1"]]))
  end)

  it("sorts by how fast, and has sizes per second", function()
    assert.equal(" key value /s\n~ 1 1000 B +100 B\n~ 2 100 B +10 B\n~ 0 10 B +1 B\n",
      grown(10, [["--sort", "-value/s", "--format", "value=bytes"]]))
    assert.equal(" key value /s\n~ 0 10 +1\n~ 2 100 +10\n… and 1 more\n",
      grown(10, [["--sort", "value/s", "--limit", "2"]]))
  end)

  it("refuses columns that aren't there, or have no speed", function()
    local _, id = peers()
    misuse("%-%-sort: there is no column 'packets'", "watch --sort packets/s " .. id)
    misuse("%-%-sort: the column 'last' has no column /s", "watch --sort last/s " .. id)
    misuse("%-%-format: there is no column 'x'", "watch --format x=ip " .. id)
  end)
end)
