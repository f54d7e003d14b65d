-- SPDX-License-Identifier: MIT
-- The one-liners in README.md and docs/: each `# lua-bpf trace …` and `# lua-bpf list …` in a console block runs, and
-- prints what the block shows below it, but for lines with numbers. One below the comment `<!-- needs kprobes -->` runs
-- where the kernel has them. One without an end of its own gets a time.
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local lfs = require "lfs"

local files = { "README.md", "docs/one-liners.md", "docs/guide.md" }

-- The lines of a file, with their numbers: { line, command, shown = a sequence, kprobes = boolean }.
local function lines_of(path)
  local list, fence, note, one, number = {}, nil, nil, nil, 0
  for line in io.lines(path) do
    number = number + 1
    if line:find "^```" then
      fence, one = not fence and line:match "^```(.*)" or nil, nil
    elseif fence == "console" and line:find "^# " then
      one = { line = number, command = line:sub(3), shown = {}, kprobes = note == "<!-- needs kprobes -->" }
      list[#list + 1] = one
    elseif one and one.command:find "\\$" then
      one.command = one.command .. "\n" .. line
    elseif one then
      table.insert(one.shown, line)
    elseif line ~= "" then
      note = line
    end
  end
  return list
end

local function has_kprobes()
  return lfs.attributes "/sys/bus/event_source/devices/kprobe" ~= nil
end

-- Runs a line, in a folder of its own.
local function run(one)
  local here = lfs.currentdir()
  local command = one.command:gsub("^lua%-bpf ", function()
    local timed = one.command:find " trace " and not one.command:find " %-c " and not one.command:find " %-n "
    return ("%s %s/bin/lua-bpf "):format(helper.LUA, here) .. (timed and "\0" or "")
  end):gsub("%z(%S+)", "%1 -n 0.3"):gsub(" %-n [0-9.]+ ", " -n 0.3 ")
  return helper.run(("cd %s && timeout -s KILL %d %s"):format(helper.tmpdir(), 40 * helper.slow, command))
end

describe("the one-liners of the documentation", function()
  kernel.root()
  kernel.need("ring buffers", "5.8")

  local count = 0
  for _, path in ipairs(files) do
    for _, one in ipairs(lines_of(path)) do
      if one.command:find "^lua%-bpf trace " or one.command:find "^lua%-bpf list " then
        count = count + 1
        it(("%s:%d: %s"):format(path, one.line, one.command:gsub("%s+", " ")), function()
          if one.kprobes and not has_kprobes() then
            helper.skip "this kernel has no kprobes"
          end
          local output, ok = run(one)
          assert(ok, output)
          for _, shown in ipairs(one.shown) do
            if shown:find "[a-z]" and not shown:find "[0-9]" then
              assert(output:find(shown, 1, true), ("'%s' isn't shown:\n%s"):format(shown, output))
            end
          end
        end)
      end
    end
  end

  it("are there", function()
    assert(count >= 12)
  end)
end)

-- Lines of a script that are neither empty nor comments.
local function count_lines(path)
  local count = 0
  for line in io.lines(path) do
    if line:find "%S" and not line:find "^%s*%-%-" and not line:find "^#!" then
      count = count + 1
    end
  end
  return count
end

describe("the table of bpftrace's tools", function()
  it("has a script for each row, and its lines", function()
    local count = 0
    for name, lines in helper.read "docs/one-liners.md":gmatch
      "\n| %[([a-z-]+)%]%(%.%./examples/trace/[a-z-]+%.lua%) |[^|\n]*| %d+ | (%d+) |" do
      local path = ("examples/trace/%s.lua"):format(name)
      count = count + 1
      assert.equal(tonumber(lines), count_lines(path), path)
      assert.matches("^#!/usr/bin/env lua\n%-%- SPDX%-License%-Identifier: MIT\n", helper.read(path))
    end
    assert.equal(39, count)
  end)
end)
