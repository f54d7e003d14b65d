-- SPDX-License-Identifier: MIT
--- Names for addresses: of the kernel's functions, from `/proc/kallsyms`, and of those of processes, from the files
-- that they have mapped. Nothing is read before it is asked for.
-- @module bpf.symbols

local argument = require("bpf.base.argument")
local error = argument.error
local posix = require("bpf.base.posix")

local symbols = {}

-- The kernel ----------------------------------------------------------------------------------------------------------

local Kernel = { __name = "bpf.symbols.kernel" }
Kernel.__index = Kernel

-- The function's name, nil when the address is in none; bytes from its start; the module, nil for the kernel itself.
function Kernel:find(address)
  argument.check_self("find", self, Kernel)
  argument.check(1, "find", address, "integer")
  return self.symbols:find(address)
end

function Kernel:__tostring()
  argument.check_self("tostring", self, Kernel)
  return ("bpf.symbols: kernel, %d symbols"):format(self.symbols:count())
end

local kernel

--- Returns the symbols of the kernel. The first call reads /proc/kallsyms; later calls return the same table.
-- @treturn table with a method `find(address)`. It returns the function's name, the bytes from its start, and the
-- module. If the address is in no function, it returns nil. For functions of the kernel itself the module is nil
-- @treturn nil,string,string on failure: EPERM (the kernel hides its addresses: kernel.kptr_restrict), ENOENT (no
-- /proc), EMFILE, …
-- @usage
-- local kernel = assert(bpf.symbols.kernel())
-- local name, offset, module = kernel:find(0xffffffff81000000)
function symbols.kernel()
  if kernel then
    return kernel
  end
  local all, message, code = posix.kallsyms()
  if not all then
    return posix.proc_failure(message, code)
  end
  kernel = setmetatable({ symbols = all }, Kernel)
  return kernel
end

-- Processes -----------------------------------------------------------------------------------------------------------

local processes -- bpf.symbols.process, loaded when it is first used, and bpf.dwfl with it

local function process_class()
  processes = processes or package.loaded["bpf.symbols.process"]
  return processes and processes.class
end

--- Returns the symbols of a process. It reads the process's mappings now, and the files' symbols when an address is
-- first looked up. So look addresses up while the process lives. The process may be in other namespaces. A file that
-- was deleted or replaced since it was mapped gives its own names or none, never those of the new file. The names of a
-- run-time compiler are read from `/tmp/perf-<pid>.map` in the process's root, once.
--
-- If the C module `bpf.dwfl` is installed, it reads debug files (by build id and by `.gnu_debuglink`, in the process's
-- root and in `/usr/lib/debug`), inlined functions and source lines, and it demangles names of C++ and Rust.
-- @tparam integer pid
-- @treturn table with a method `find(address)`. It returns the function's name, the bytes from its start, and the
-- file's path. If the address is in no function, the name is nil, and the bytes are counted from the start of the file.
-- If the address is in no file, the path is nil. If the names couldn't be read, for example because no descriptor was
-- left, a message and its code follow, and the next call tries again
-- @treturn nil,string,string on failure: ENOENT (no such process), EACCES, EMFILE, …
-- @usage
-- local process = assert(bpf.symbols.process(pid))
-- local name, offset, path = process:find(0x7f0000001234)
function symbols.process(pid)
  argument.check(1, "process", pid, "integer")
  if not processes then
    local module, complaint, why, code = posix.module("bpf.symbols.process")
    if why then
      return nil, ("symbols of process %d: %s"):format(pid, why), code
    end
    processes = module or error(complaint, 0)
  end
  return processes.open(pid)
end

-- Frames --------------------------------------------------------------------------------------------------------------

local function is_kernel(value)
  return getmetatable(value) == Kernel
end

local function is_process(value)
  return process_class() ~= nil and getmetatable(value) == process_class()
end

-- The mapping of all code of the kernel, in frames.
local KERNEL <const> = { path = "[kernel.kallsyms]", from = 0, to = 0, offset = 0 }

-- Adds the frame of an address of the kernel, without a name if `known` is KERNEL. `back` is 1 for the address behind a
-- call: the function that was called may never return, and be the last thing in its caller.
local function add_kernel_frame(known, address, back, list)
  local name, offset, module
  if known ~= KERNEL then
    name, offset, module = known:find(address - back)
  end
  list[#list + 1] = {
    address = address, name = name, offset = name and offset + back, module = module, kernel = true, mapping = KERNEL,
  }
end

-- Adds the frames of a stack's addresses, the innermost first. `known` is what names them, or nil.
local function add_frames(known, addresses, list)
  for i = 1, rawlen(addresses) do
    local address, back = rawget(addresses, i), i > 1 and 1 or 0
    if is_process(known) then
      processes.add_frames(known, address, back, list)
    elseif is_kernel(known) or known == KERNEL then
      add_kernel_frame(known, address, back, list)
    else
      list[#list + 1] = { address = address }
    end
  end
end

-- Raises unless an argument is a sequence of addresses. The level is that of the script, as for `error`.
local function check_addresses(position, fname, addresses, level)
  argument.check(position, fname, addresses, "table", level)
  for i = 1, rawlen(addresses) do
    if math.type(rawget(addresses, i)) ~= "integer" then
      error(("bad argument #%d to '%s' (address %d must be an integer, got %s)"):format(position, fname, i,
        type(rawget(addresses, i))), level)
    end
  end
end

local hidden -- whether the kernel's symbols couldn't be read: that takes as long as reading them

-- The frames of a stack in the kernel and of one in a process.
local function both_frames(fname, in_kernel, in_process, process)
  local list = {}
  check_addresses(1, fname, in_kernel or {}, 4)
  check_addresses(2, fname, in_process or {}, 4)
  if math.type(process) == "integer" then
    process = symbols.process(process)
  elseif process and not is_process(process) then
    error(("bad argument #3 to '%s' (a pid or what bpf.symbols.process gives expected, got %s)"):format(fname,
      type(process)), 3)
  end
  if in_kernel and rawlen(in_kernel) > 0 then
    local known = not hidden and symbols.kernel()
    hidden = not known
    add_frames(known or KERNEL, in_kernel, list)
  end
  add_frames(process, in_process or {}, list)
  return list
end

--- Returns the functions of a stack in the kernel and of the stack in a process that led there, the innermost first. A
-- function that the compiler has inlined is a frame of its own, if `bpf.dwfl` is installed. A frame is a table with the
-- fields below. Don't change frames: later stacks may have the same ones.
--
-- - `address`
-- - `name`: the function's, nil if it is unknown
-- - `offset`: bytes from the function's start; nil in an inlined function; from the start of the file without a name
-- - `inlined`: true if the function is inlined in that of the next frame
-- - `kernel`: true for the kernel's functions, and `module` for those of a module
-- - `path`: of the file that the process has mapped, nil if there is none
-- - `source`, `line`: where the address is, or where the function of the frame before is called, if `bpf.dwfl` knows it
-- - `mapping`: what `bpf.pprof` tells of the file: `path`, `from`, `to`, `offset` and `build_id`
-- @tparam ?table in_kernel addresses in the kernel, as a map of type stack_trace returns them
-- @tparam ?table in_process addresses in the process
-- @tparam ?integer|table process the pid, or what `process` returned. A pid makes each call read the process's mappings
-- anew
-- @treturn {table,...}
-- @usage
-- for _, frame in ipairs(bpf.symbols.frames({ 0xffffffff81000000 }, { 0x1000 }, pid)) do
--   print(frame.name or "?", frame.source, frame.line)
-- end
function symbols.frames(in_kernel, in_process, process)
  return both_frames("frames", in_kernel, in_process, process)
end

-- Text ----------------------------------------------------------------------------------------------------------------

-- Names come from files of any process: nothing of them may be a command to the terminal.
local function plain(text)
  return text:find("[\0-\31\127]") and text:gsub("[\0-\31\127]", "?") or text
end

local function basename(path)
  return path:match("[^/]*$")
end

-- "vfs_read+0x1c", "malloc+0x20 (libc.so.6)", "0x1234 (prog)"; with lines "main+0x2 (prog) at prog.c:3".
local function frame_text(frame, lines)
  local module = frame.module or frame.path
  local where = module and " (" .. basename(module) .. ")" or ""
  local text = frame.name
  if not text then
    text = ("0x%x"):format(module and frame.offset or frame.address)
  elseif (frame.offset or 0) > 0 then
    text = ("%s+0x%x"):format(text, frame.offset)
  end
  if lines and frame.source then
    where = ("%s at %s:%d"):format(where, frame.source, frame.line or 0)
  end
  return plain(text .. where .. (lines and frame.inlined and " [inlined]" or ""))
end

-- The name in a line for flame graphs. In `;` and spaces these have a meaning of their own.
local function folded_name(frame)
  local module = frame.module or frame.path
  local name = frame.name or module and "[" .. basename(module) .. "]" or "[unknown]"
  return name:find("[\0-\31\127;]") and plain(name):gsub(";", ":") or name
end

-- The line for flame graphs.
local function folded_text(list, options, mark)
  local names = {}
  for i = #list, 1, -1 do
    names[#names + 1] = folded_name(list[i]) .. (mark and list[i].kernel and "_[k]" or "")
  end
  if options.comm then
    table.insert(names, 1, (plain(options.comm):gsub("[; ]", "_")))
  end
  return table.concat(names, ";") .. (options.count and (" %d"):format(options.count) or "")
end

local OPTIONS <const> = { folded = "boolean", lines = "boolean", comm = "string", count = "integer" }

-- The options of `stack`: a table, or true for { folded = true }.
local function stack_options(position, options)
  if options == nil or type(options) == "boolean" then
    return { folded = options }
  end
  argument.check(position, "stack", options, "table", 3)
  for name, value in pairs(options) do
    local expected = OPTIONS[name]
    if not expected then
      error(("bad argument #%d to 'stack' (option '%s' is unknown)"):format(position, tostring(name)), 3)
    elseif type(value) ~= expected and math.type(value) ~= expected then
      error(("bad argument #%d to 'stack' (option '%s' must be a %s)"):format(position, name, expected), 3)
    end
  end
  return options
end

--- Returns an address as text: "vfs_read+0x1c", "malloc+0x20 (libc.so.6)", "0x1234 (prog)", "0xffffffff81000000".
-- @tparam table from what `kernel` or `process` returned
-- @tparam integer address
-- @treturn string
-- @usage
-- local kernel = assert(bpf.symbols.kernel())
-- print(bpf.symbols.text(kernel, 0x1000)) -- 0x1000, as no function is there
function symbols.text(from, address)
  if not is_kernel(from) and not is_process(from) then
    error(("bad argument #1 to 'text' (what bpf.symbols.kernel or process gives expected, got %s)"):format(type(from)),
      2)
  end
  argument.check(2, "text", address, "integer")
  local list = {}
  add_frames(from, { address }, list)
  return frame_text(list[#list])
end

--- Returns a stack as text, one line for each function. Or as one line for flame graphs, which begins with the
-- outermost function: "bash;main;read;vfs_read_[k] 12". The stack is one in the kernel with the one in a process that
-- led there. Or it is one of them alone: then the first argument is what `kernel` or `process` returned, the second has
-- the addresses, and the third the options.
-- @tparam ?table in_kernel addresses in the kernel, as a map of type stack_trace returns them
-- @tparam ?table in_process addresses in the process
-- @tparam ?integer|table process the pid, or what `process` returned. A pid makes each call read the process's mappings
-- anew
-- @tparam ?table options or true, which is `{ folded = true }`
-- - folded: true for one line, with ";" between names without offsets. Names of the kernel's functions end in "_[k]"
-- - comm: the line for flame graphs begins with this name
-- - count: the line for flame graphs ends with this number
-- - lines: true for the source file and line of each function, where `bpf.dwfl` knows it
-- @treturn string
-- @usage
-- local kernel = assert(bpf.symbols.kernel())
-- print(bpf.symbols.stack({ 0x1000 }, { 0x2000 }, pid))             -- two lines
-- print(bpf.symbols.stack(nil, { 0x1000 }, pid, { folded = true })) -- [unknown]
-- print(bpf.symbols.stack(kernel, { 0x1000, 0x2000 }, true))        -- [unknown];[unknown]
function symbols.stack(in_kernel, in_process, process, options)
  local list, alone = {}, is_kernel(in_kernel) or is_process(in_kernel)
  if alone then
    check_addresses(2, "stack", in_process, 3)
    options = stack_options(3, process)
    add_frames(in_kernel, in_process, list)
  else
    options = stack_options(4, options)
    list = both_frames("stack", in_kernel, in_process, process)
  end
  if options.folded then
    return folded_text(list, options, not alone)
  end
  for i, frame in ipairs(list) do
    list[i] = frame_text(frame, options.lines)
  end
  return table.concat(list, "\n")
end

return symbols
