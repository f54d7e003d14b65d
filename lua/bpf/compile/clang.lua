-- SPDX-License-Identifier: MIT
-- What clang is told, and running it.

local complaint = require("bpf.compile.complaint")
local error = require("bpf.base.argument").error
local files = require("bpf.compile.files")
local posix = require("bpf.base.posix")

local clang = {}

local quote = files.quote

-- The words behind which the machine's own directories of headers come: everything that the caller decides.
function clang.words(options, beside)
  local list = {
    "-target", "bpf", "-mcpu=v3", "-g", "-O2", "-fno-color-diagnostics",
    "-fms-extensions", "-Wno-microsoft-anon-tag", -- members without a name, of a struct with one: kernels from 6.19 on
    "-D__TARGET_ARCH_" .. options.target,
  }
  for _, part in ipairs { options.defines, options.cflags } do
    table.move(part, 1, #part, #list + 1, list)
  end
  if beside then
    table.move({ "-iquote", beside }, 1, 2, #list + 1, list)
  end
  for _, path in ipairs(options.include) do
    table.move({ "-I", path }, 1, 2, #list + 1, list)
  end
  return list
end

-- A shell command that runs clang for a job, with its output in a file of the job's directory.
local function command(job, output, ...)
  local list = { quote(job.program) }
  local function add(...)
    for _, word in ipairs { ... } do
      list[#list + 1] = quote(word)
    end
  end
  add(table.unpack(job.words))
  if job.vmlinux then
    add("-I", job.vmlinux)
  end
  -- Debian's <asm/types.h>, which clang looks for in vain when it compiles for bpf.
  add("-idirafter", "/usr/include/" .. posix.machine() .. "-linux-gnu", ...)
  return ("exec </dev/null >%s 2>&1; LC_ALL=C TMPDIR=%s; export LC_ALL TMPDIR; %s"):format(
    quote(job.dir .. "/" .. output), quote(job.dir), table.concat(list, " "))
end

-- Compiles source.c of the job's directory. Returns the object's bytes and warnings; or nil, message, code, messages.
-- With `listed`, clang lists the headers that it has read, in object.d.
function clang.compile(job, listed)
  local dir = job.dir
  local words = { "-x", "c", "-c", dir .. "/source.c", "-o", dir .. "/object.o" }
  if listed then
    table.move({ "-MD", "-MF", dir .. "/object.d" }, 1, 3, #words + 1, words)
  end
  local ok, how, status = os.execute(command(job, "messages", table.unpack(words)))
  if how == "signal" and status == 2 or status == 130 then
    error("interrupted!", 0) -- as Lua says itself when it isn't waiting for a command
  end
  local messages = files.read(dir .. "/messages") or ""
  if not ok then
    return complaint(dir, how, status, messages)
  end
  local bytes, message, number = files.read(dir .. "/object.o")
  if not bytes then
    return files.failure(message, number)
  end
  return bytes, messages ~= "" and messages or nil
end

-- What clang says of itself when it does a job: its version, the program that compiles, and the directories in which it
-- looks for headers, those too that aren't there. nil where it doesn't say.
function clang.about(job)
  os.execute(command(job, "about", "-E", "-v", "-x", "c", "/dev/null", "-o", "/dev/null"))
  local text = files.read(job.dir .. "/about") or ""
  local listed = text:match('\n#include "..." search starts here:\n(.-)End of search list%.\n')
  local compiler = text:match('\n "([^"\n]+)" "?%-cc1"? ')
  if not listed or not compiler then
    return nil
  end
  local search = {}
  for path in listed:gmatch("%f[^\n\0] ([^\n]+)") do
    search[#search + 1] = path
  end
  for path in text:gmatch('\nignoring nonexistent directory "([^\n]*)"%f[\n]') do
    search[#search + 1] = path
  end
  return { version = text:match("^[^\n]*"), compiler = compiler, search = search }
end

return clang
