-- SPDX-License-Identifier: MIT
-- What build-aux/vmtest does with specs and results.
--   vmtest.lua plan QUEUE "KERNEL ..." LIBS SPEC...   makes each kernel's queue, by the table in build-aux/guests.lua
--   vmtest.lua follow FOLDER QUEUE WORK CONSOLE  gives a guest work by its second serial line, makes a TAP file of each
--                                                spec's results, and says how it goes; its other side is guest.lua
--   vmtest.lua table KERNEL...                   the results of kernels, from build/vmtest/KERNEL, as a table; fails if
--                                                anything failed, or was skipped on every kernel and this machine's own
-- A queue is a folder with a file for each spec, which holds its path: "0060-spec-attach_net_spec.lua" takes a minute.
local lfs = require "lfs"

local TOP = "build/vmtest/"
local MATRIX = { "5.10", "6.1", "6.12", "sid" }
local NEWEST = "sid"
-- What other targets left of this machine's own kernel, `make test`, and `make sidtest` with the newest libraries; and
-- what needs both those and another kernel.
local EXTRA = { "host", "sid-lua54", "sid-lua55", "6.12-libs" }
local LIBS = { kernel = "6.12", spec = "spec/program/attach_net_spec.lua" }

-- The file of a spec's results. Those with other libraries, "libs:<spec>", have a folder of their own.
local tap_path
function tap_path(dir, spec)
  local libs = spec:match("^libs:(.*)")
  if libs then
    return tap_path(dir .. "-libs", libs)
  end
  return ("%s/%s.tap"):format(dir, (spec:gsub("^spec/", ""):gsub("_spec%.lua$", ""):gsub("/", "-")))
end

-- The file of its first try's results, where there was a second.
local function first_path(path)
  return (path:gsub("%.tap$", ".first"))
end

-- Lines of a file, in a table; nil where there is no such file.
local function read(path)
  local file <close> = io.open(path)
  if file then
    local lines = {}
    for line in file:lines() do
      lines[#lines + 1] = line
    end
    return lines
  end
end

-- What a TAP file tells: { passed = n, failed = { name, ... }, skipped = { reason, ... } }. A file without its plan, or
-- with an exit status that doesn't go with it, counts as failed.
local function parse(lines)
  local result = { passed = 0, failed = {}, skipped = {} }
  local plan, status, seen = nil, nil, 0
  for _, line in ipairs(lines) do
    local verdict, text = line:match("^(%l*%s*ok) %d+ %- (.*)")
    if verdict then
      seen = seen + 1
      local reason = text:match("# SKIP%s*(.*)")
      if verdict ~= "ok" then
        result.failed[#result.failed + 1] = text
      elseif reason then
        result.skipped[#result.skipped + 1] = reason
      else
        result.passed = result.passed + 1
      end
    end
    plan = math.tointeger(line:match("^1%.%.(%d+)")) or plan
    status = math.tointeger(line:match("^# exit status (%d+)")) or status
  end
  if status == 124 or status == 137 then
    result.failed[#result.failed + 1] = "(took too long)"
  elseif plan ~= seen then
    result.failed[#result.failed + 1] = "(ended early)"
  elseif status and status ~= 0 and #result.failed == 0 then
    result.failed[#result.failed + 1] = "(exit status " .. status .. ")"
  end
  return result
end

local function plural(n, what)
  return ("%d %s%s"):format(n, what, n == 1 and "" or "s")
end

-- Following a guest -------------------------------------------------------------------------------------------------

local BRIEF = 12 -- lines shown of each failure; the rest is in the TAP file

-- Prints the last lines of something.
local function tail(lines, count)
  for i = math.max(1, #lines - count + 1), #lines do
    print("    | " .. lines[i])
  end
end

-- Prints what a TAP file says of its failures.
local function show_failures(lines)
  local shown
  for _, line in ipairs(lines) do
    if line:find("^not ok") then
      shown = 0
    elseif not line:find("^#") then
      shown = nil
    end
    if shown then
      shown = shown + 1
      if shown <= BRIEF then
        print("    " .. line:sub(1, 200))
      end
    end
  end
end

-- One line about a spec, and under it what failed.
local function report(kernel, spec, lines, seconds)
  local result = parse(lines)
  local words = { plural(result.passed + #result.failed + #result.skipped, "test") }
  if result.skipped[1] then
    words[#words + 1] = #result.skipped .. " skipped"
  end
  if result.failed[1] then
    words[#words + 1] = #result.failed .. " FAILED"
  end
  print(("%-5s %-40s %6.1f s  %s"):format(kernel, spec, seconds, table.concat(words, ", ")))
  show_failures(lines)
  local last = result.failed[#result.failed]
  if last and last:find("^%(") then
    print("    " .. last .. "; its last lines:")
    tail(lines, BRIEF)
  end
end

-- Takes the first entry of a queue, which others take from as well. Returns its name and what it holds.
local function take(queue)
  local names = {}
  for name in lfs.dir(queue) do
    names[#names + 1] = name:find("^%d") and name or nil
  end
  table.sort(names, function(a, b) return a > b end)
  for _, name in ipairs(names) do
    local mine = ("%s/taken-%s"):format(queue, name)
    if os.rename(queue .. "/" .. name, mine) then
      return name, read(mine)[1] or "command"
    end
  end
end

local function write(path, text, mode)
  local file <close> = assert(io.open(path, mode or "w"))
  file:write(text)
end

-- A guest: where its results and its work are, what it runs and how often that was tried.
local Guest = {}
Guest.__index = Guest

function Guest:answer()
  if not self.again then
    self.entry, self.spec = take(self.queue)
  end
  self.work:write(self.spec or "", "\n")
end

-- The spec has ended, or the guest has while it ran. What fails is tried once more; the first try's results stay.
function Guest:ended(status, seconds)
  local lines, path = self.lines, tap_path(self.dir, self.spec)
  lines[#lines + 1] = "# exit status " .. status
  lines[#lines + 1] = "# seconds " .. seconds
  self.lines = nil
  local failed = parse(lines).failed[1] ~= nil
  local first = first_path(path)
  local tried = read(first) ~= nil
  self.again = failed and not tried
  write(self.again and first or path, table.concat(lines, "\n") .. "\n")
  report(self.kernel, self.spec, lines, tonumber(seconds))
  if self.again then
    print(("%-5s %s once more"):format(self.kernel, self.spec))
  elseif tried and not failed then
    write(self.dir .. "/unstable", self.spec .. "\n", "a")
  end
end

-- The first guest of a kernel that doesn't come up may have been in bad luck; after the second, nobody takes the work.
function Guest:never_asked()
  local mark = self.queue .. "/no-boot"
  if not read(mark) then
    return write(mark, "")
  end
  for name in lfs.dir(self.queue) do
    if name:find("^%d") then
      os.remove(self.queue .. "/" .. name)
    end
  end
end

-- The guest has ended without being told to: what it ran is for the next one.
function Guest:died()
  print(("%-5s the guest %s%s"):format(self.kernel, self.killed and "was " .. self.killed or "died",
    self.lines and ", in " .. self.spec or ""))
  print("    the last lines of its console:")
  tail(read(self.console) or {}, 40)
  if self.lines then
    self:ended(255, 0)
  end
  if self.again then
    os.rename(("%s/taken-%s"):format(self.queue, self.entry), self.queue .. "/" .. self.entry)
  elseif not self.spec then
    self:never_asked()
  end
  os.exit(1)
end

local function follow(dir, queue, work, console)
  local guest = setmetatable({ dir = dir, queue = queue, console = console, kernel = dir:match("[^/-]+$"),
    work = assert(io.open(work, "w")) }, Guest)
  guest.work:setvbuf("line")
  for line in io.lines() do
    local name, status, seconds = line:match("^== end (%S+) (%d+) (%S+)")
    if line == "== ready" then
      guest:answer()
    elseif line:find("^== begin ") then
      guest.lines = {}
    elseif name == "command" then
      print(("%-5s exit status %s, %s s"):format(guest.kernel, status, seconds))
      guest.lines = nil
    elseif name then
      guest:ended(status, seconds)
    elseif line == "== done" then
      return
    elseif line:find("^== killed") then
      guest.killed = line:match("^== (.*)")
    elseif guest.spec == "command" then
      print(guest.kernel .. " " .. line)
    elseif guest.lines and line ~= "" then
      guest.lines[#guest.lines + 1] = line
    end
  end
  guest:died()
end

-- The plan -----------------------------------------------------------------------------------------------------------

local function contains(list, item)
  for _, one in ipairs(list) do
    if one == item then
      return true
    end
  end
  return false
end

-- The rows of specs, each of which has to be there.
local function checked_rows()
  local table_of_specs = dofile "build-aux/guests.lua"
  for spec, row in pairs(table_of_specs) do
    assert(lfs.attributes(spec), "build-aux/guests.lua: there is no " .. spec)
    assert(not row.on == not row.why, "build-aux/guests.lua: on and why go together: " .. spec)
  end
  return table_of_specs
end

-- Whether something in a spec was skipped here because this machine's kernel refuses a kind of program: then a guest
-- has to run it, whatever the table says.
local function refused_here(spec)
  for _, line in ipairs(read(tap_path(TOP .. "host", spec)) or {}) do
    if line:find("# SKIP.*this kernel refuses programs of this kind") then
      return true
    end
  end
  return false
end

-- One spec that was asked for by name runs wherever that was asked for.
local function plan(queue, kernels, libs, specs)
  local table_of_specs = #specs > 1 and checked_rows() or {}
  for kernel in kernels:gmatch("%S+") do
    local dir, list = TOP .. kernel, {}
    assert(os.execute(("rm -rf %s %s-libs && mkdir -p %s %s/%s"):format(dir, dir, dir, queue, kernel)))
    local function add(spec, seconds)
      write(("%s/%s/%04d-%s"):format(queue, kernel, seconds, spec:gsub("[/:]", "-")), spec .. "\n")
    end
    for _, spec in ipairs(specs) do
      local row = table_of_specs[spec] or {}
      if not row.on or contains(row.on, kernel) or kernel == NEWEST and refused_here(spec) then
        list[#list + 1] = spec
        add(spec, row.seconds or 5)
      end
    end
    write(dir .. "/specs", table.concat(list, "\n") .. "\n")
    if kernel == LIBS.kernel and #specs > 1 and libs ~= "" then
      assert(os.execute(("mkdir -p %s-libs"):format(dir)))
      write(dir .. "-libs/specs", LIBS.spec .. "\n")
      add("libs:" .. LIBS.spec, table_of_specs[LIBS.spec].seconds)
    end
  end
  write(TOP .. "specs", table.concat(specs, "\n") .. "\n")
end

-- The table ---------------------------------------------------------------------------------------------------------

local function sorted(set)
  local list = {}
  for name in pairs(set) do
    list[#list + 1] = name
  end
  table.sort(list)
  return list
end

-- How a result looks in the table: "12", "10 2s", "9 2s 1F".
local function cell(result)
  if not result then
    return "never ran"
  end
  local words = { tostring(result.passed) }
  if result.skipped[1] then
    words[#words + 1] = #result.skipped .. "s"
  end
  if result.failed[1] then
    words[#words + 1] = #result.failed .. "F"
  end
  return table.concat(words, " ")
end

local function pad(text, width)
  return text .. (" "):rep(width - utf8.len(text))
end

local function print_table(rows)
  local widths = {}
  for _, row in ipairs(rows) do
    for i, text in ipairs(row) do
      widths[i] = math.max(widths[i] or 0, utf8.len(text))
    end
  end
  for _, row in ipairs(rows) do
    local cells = {}
    for i, text in ipairs(row) do
      cells[i] = pad(text, widths[i])
    end
    print((table.concat(cells, "   "):gsub("%s+$", "")))
  end
end

-- The place and cause of a skip, the same on every kernel; and the place alone, the beginning of what is skipped.
local function cause(reason)
  return (reason:gsub(", this is %S+$", "")), reason:match("^%S+:%d+") or reason
end

-- The results in a folder, as a column: its name, the results, seconds and whether it was asked for of each spec, and
-- whether it is no kernel of the matrix.
local function gather(name, specs, extra)
  local column = { name = name, results = {}, seconds = {}, asked = {}, extra = extra }
  for _, spec in ipairs(specs) do
    local lines = read(tap_path(TOP .. name, spec))
    column.results[spec] = lines and parse(lines)
    column.seconds[spec] = lines and tonumber(lines[#lines]:match("^# seconds (%S+)"))
  end
  for _, spec in ipairs(read(TOP .. name .. "/specs") or {}) do
    column.asked[spec] = true
  end
  return column
end

-- Prints passed, failed and skipped by spec and column.
local function show_results(columns, specs)
  local head, total = { "" }, { "all" }
  local rows = { head }
  for i, column in ipairs(columns) do
    head[i + 1] = column.name
  end
  for _, spec in ipairs(specs) do
    local row = { (spec:gsub("^spec/", ""):gsub("_spec%.lua$", "")) }
    for i, column in ipairs(columns) do
      local result = column.results[spec]
      row[i + 1] = (result or column.asked[spec]) and cell(result) or "–"
    end
    rows[#rows + 1] = row
  end
  for i, column in ipairs(columns) do
    local sum = { passed = 0, failed = {}, skipped = {} }
    for _, result in pairs(column.results) do
      sum.passed = sum.passed + result.passed
      table.move(result.failed, 1, #result.failed, #sum.failed + 1, sum.failed)
      table.move(result.skipped, 1, #result.skipped, #sum.skipped + 1, sum.skipped)
    end
    total[i + 1] = cell(sum)
  end
  rows[#rows + 1] = total
  print("\nTests that passed, s: skipped, F: failed")
  print_table(rows)
end

-- Prints what is skipped where. Returns the places at which every column that ran the spec skips something.
local function show_skips(columns)
  local on, places = {}, {}
  for _, column in ipairs(columns) do
    for spec, result in pairs(column.results) do
      for _, reason in ipairs(result.skipped) do
        local key, place = cause(reason)
        on[key] = on[key] or {}
        if on[key][#on[key]] ~= column.name then
          table.insert(on[key], column.name)
        end
        places[place] = places[place] or { spec = spec }
        places[place][column.name] = true
      end
    end
  end
  if next(on) then
    print("\nSkipped")
    local rows = {}
    for _, key in ipairs(sorted(on)) do
      rows[#rows + 1] = { key, table.concat(on[key], ", ") }
    end
    print_table(rows)
  end
  local never = {}
  for _, place in ipairs(sorted(places)) do
    local everywhere = true
    for _, column in ipairs(columns) do
      everywhere = everywhere and (places[place][column.name] or not column.results[places[place].spec])
    end
    never[#never + 1] = everywhere and place or nil
  end
  return never
end

-- Prints what failed. Returns whether anything did.
local function show_failures_of(columns, specs)
  local failures = {}
  for _, column in ipairs(columns) do
    for _, spec in ipairs(specs) do
      local result = column.results[spec]
      local failed = result and result.failed or column.asked[spec] and { "never ran" } or {}
      for _, name in ipairs(failed) do
        failures[#failures + 1] = { column.name, spec, name }
      end
    end
  end
  if failures[1] then
    print("\nFailed")
    print_table(failures)
  end
  local shown = {}
  for _, row in ipairs(failures) do
    local path = tap_path(TOP .. row[1], row[2])
    if not shown[path] then
      shown[path] = true
      show_failures(read(path) or {})
    end
  end
  return failures[1] ~= nil
end

-- Whether all kernels of the matrix are there, so that it can be told what no kernel tests.
local function whole(kernels)
  local text = " " .. table.concat(kernels, " ") .. " "
  for _, kernel in ipairs(MATRIX) do
    if not text:find(" " .. kernel .. " ", 1, true) then
      return false
    end
  end
  return true
end

local SLOWEST = 10

-- Prints which specs took longest on each kernel, and which passed at the second try only.
local function show_times(columns)
  print(("\nThe %d slowest, in seconds, and all"):format(SLOWEST))
  for _, column in ipairs(columns) do
    local specs, sum = sorted(column.seconds), 0
    table.sort(specs, function(a, b) return column.seconds[a] > column.seconds[b] end)
    for i, spec in ipairs(specs) do
      sum = sum + column.seconds[spec]
      specs[i] = ("%s %.0f"):format(spec:gsub("^spec/", ""):gsub("_spec%.lua$", ""), column.seconds[spec])
    end
    if specs[1] then
      print(("%-5s %s; all %.0f"):format(column.name, table.concat(specs, ", ", 1, math.min(SLOWEST, #specs)), sum))
    end
  end
end

local function show_unstable(columns)
  local unstable = {}
  for _, column in ipairs(columns) do
    for _, spec in ipairs(read(TOP .. column.name .. "/unstable") or {}) do
      unstable[#unstable + 1] = { column.name, spec }
    end
  end
  print(("\nUnstable, passed at the second try only: %s"):format(unstable[1] and "" or "none"))
  print_table(unstable)
  for _, row in ipairs(unstable) do
    show_failures(read(first_path(tap_path(TOP .. row[1], row[2]))) or {})
  end
end

local function judge(kernels)
  local specs, columns = assert(read(TOP .. "specs"), "no results"), {}
  for _, kernel in ipairs(kernels) do
    columns[#columns + 1] = gather(kernel, specs)
  end
  for _, name in ipairs(whole(kernels) and EXTRA or {}) do
    local column = gather(name, specs, true)
    columns[#columns + 1] = next(column.results) and column or nil
  end
  show_results(columns, specs)
  local never = show_skips(columns)
  show_times(columns)
  show_unstable(columns)
  local failed = show_failures_of(columns, specs)
  if whole(kernels) and never[1] then
    failed = true
    print("\nSkipped everywhere, so nobody knows whether it works:\n" .. table.concat(never, "\n"))
  end
  os.exit(not failed)
end

local what = table.remove(arg, 1)
if what == "plan" then
  plan(arg[1], arg[2], arg[3], { table.unpack(arg, 4) })
elseif what == "follow" then
  follow(table.unpack(arg, 1, 4))
else
  judge(arg)
end
