-- SPDX-License-Identifier: MIT
-- Which probes a shell offers for a word: kinds first, then what `lua-bpf list` shows of the kind, up to the next
-- slash.

local catalog = require("bpf.trace.catalog")

-- What ends in a slash goes on.
local KINDS <const> = { "begin", "cgroup/", "cgroup_skb/", "end", "every/", "fentry/", "fexit/", "hardware/",
  "interval/", "iter/", "kprobe/", "kretprobe/", "profile/", "raw_tp/", "software/", "tp_btf/", "tracepoint/",
  "uprobe/", "uretprobe/", "usdt/" }

-- The sections that begin with a word. Bash takes the colon in functions of files as the end of a word.
local function sections(word)
  if word:find("^u") or word:find("[*?%[]") then
    return {}
  end
  local names = {}
  for n, found in ipairs(catalog.find(word .. "*") or {}) do
    names[n] = found.section
  end
  return names
end

-- The words that a probe may begin with, sorted. In a list with commas the last one is meant.
return function(word)
  local before, last = word:match("^(.*,)(.*)$")
  before, last = before or "", last or word
  local list, seen = {}, {}
  for _, name in ipairs(last:find("/", 1, true) and sections(last) or KINDS) do
    local more = name:match("^[^/]*/?", #last + 1)
    if name:sub(1, #last) == last and not seen[more] then
      seen[more] = true
      list[#list + 1] = before .. last .. more
    end
  end
  table.sort(list)
  return list
end
