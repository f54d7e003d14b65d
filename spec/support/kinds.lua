-- SPDX-License-Identifier: MIT
-- Which kinds of programs the running kernel takes. `local kinds = require "spec.support.kinds"`.
--
-- A hardened kernel may refuse a kind of program (its type, how it attaches, and where) before it verifies the program,
-- even to root; the next one refuses others. So it is found out by trying a program of that kind that does nothing. A
-- kind is named by its section: "iter/bpf_map_elem".
local bpf = require("bpf")
local helper = require("spec.helper")

local kinds = {}

local SECTION <const> = "lbpf_section_of_64_characters" .. ("."):rep(35)
local PATTERN <const> = SECTION:gsub("%p", "%%%0")

--- Whether the results of a load say that a program was refused before the verifier saw it: EPERM, and no log but its
-- statistics of no instruction.
function kinds.unverified(code, messages)
  if code ~= "EPERM" or not messages:find("BPF program load failed", 1, true) then
    return false
  end
  local log = messages:match("failed.-%-%- BEGIN PROG LOAD LOG %-%-\n(.-)%-%- END PROG LOAD LOG") or ""
  return log:gsub("insns processed 0[^\n]*\n", ""):gsub("processed 0 insns[^\n]*\n", "") == ""
end

--- bpf.load of an object that has a program that does nothing, in a section. Sections are named in the symbols' strings
-- and in those of BTF.
function kinds.load_nothing(section)
  local file <close> = assert(io.open(helper.obj("nothing"), "rb"))
  local room = #SECTION - #section
  assert(room >= 0, "a longer name than " .. helper.obj("nothing") .. " has room for: " .. section)
  local bytes, n = file:read("a"):gsub(PATTERN, { [SECTION] = section .. ("\0"):rep(room) })
  assert(n > 0)
  return bpf.load({ bytes = bytes }, { name = "nothing" })
end

-- What takes more than a section to load.
local others = {
  freplace = function()
    local target <close> = assert(bpf.load(helper.obj("attach_freplace")))
    local obj = assert(bpf.open(helper.obj("attach_replacement")))
    assert(obj.progs.instead:attach_target("verdict", target.progs.whole))
    local ok, message, code, log = obj:load()
    return ok and obj, message, code, log
  end,
  struct_ops = function() return bpf.load(helper.obj("reentrancy")) end,
}

local refused = {} -- by section

--- Whether the kernel refuses programs of the kind before it verifies them. The program that does nothing may fail for
-- other reasons: then the test goes on, and what it loads has to work or to fail for itself.
function kinds.refused(section)
  if refused[section] == nil then
    local obj <close>, _, code, messages = (others[section:match("^[^/]*")] or kinds.load_nothing)(section)
    refused[section] = not obj and kinds.unverified(code, messages)
  end
  return refused[section]
end

--- Skips the test, or all of the describe or file it is called in, where the kernel refuses a kind of program. What
-- specs load by `assert(bpf.load(path))`, or by anything that returns the same, needs no call.
function kinds.need(section)
  if kinds.refused(section) then
    helper.skip(section .. ": this kernel refuses programs of this kind before it verifies them, even to root")
  end
end

--- A program of an object that `kernel.load` loaded. Skips where it was left out.
function kinds.program(obj, name)
  local prog = obj.progs[name]
  if not prog:autoload() then
    kinds.need(prog:section())
  end
  return prog
end

--- Skips what it is called in where the kernel refuses a kind of program that the object has.
function kinds.need_all_of(path)
  local obj <close> = assert(bpf.open(path))
  for _, prog in pairs(obj.progs) do
    kinds.need(prog:section())
  end
end

--- Skips where a message of the library's says that the kernel refuses a kind of program, and the kernel does.
function kinds.look(message)
  for section in message:gmatch("this kind of program %(type [^,]*, section '([^']*)'%) before verifying it") do
    kinds.need(section)
  end
end

return kinds
