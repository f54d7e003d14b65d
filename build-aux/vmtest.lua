-- SPDX-License-Identifier: MIT
-- Reads what guests of build-aux/vmtest tell; the format is described in build-aux/vmtest.init.
--   vmtest.lua follow FOLDER    from a guest's second serial line makes a TAP file for each spec, and says how it goes
--   vmtest.lua table KERNEL...  the results of kernels, from build/vmtest/KERNEL, as a table; fails if anything failed,
--                               or was skipped on every kernel of the matrix and on this machine's own
local TOP = "build/vmtest/"
local MATRIX = { "5.10", "6.1", "6.12", "sid" }
-- What other targets left of this machine's own kernel, `make test`, and `make sidtest` with the newest libraries; and
-- what needs both those and another kernel.
local EXTRA = { "host", "sid-libs", "sid-lua55", "6.12-libs" }

-- The file of a spec's results. Those with other libraries, "libs:<spec>", have a folder of their own.
local tap_path
function tap_path(dir, spec)
  local libs = spec:match("^libs:(.*)")
  if libs then
    return tap_path(dir .. "-libs", libs)
  end
  return ("%s/%s.tap"):format(dir, (spec:gsub("^spec/", ""):gsub("_spec%.lua$", ""):gsub("/", "-")))
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

local function follow(dir)
  local kernel = dir:match("[^/-]+$")
  local spec, lines, done, killed
  for line in io.lines() do
    local name = line:match("^== begin (.+)")
    local ended, status, seconds = line:match("^== end (%S+) (%d+) (%S+)")
    if name then
      spec, lines = name, {}
    elseif ended and ended == spec then
      lines[#lines + 1] = "# exit status " .. status
      lines[#lines + 1] = "# seconds " .. seconds
      local file <close> = assert(io.open(tap_path(dir, spec), "w"))
      file:write(table.concat(lines, "\n"), "\n")
      if spec == "command" then
        print(("%-5s exit status %s, %s s"):format(kernel, status, seconds))
      else
        report(kernel, spec, lines, tonumber(seconds))
      end
      spec = nil
    elseif line == "== done" then
      done = true
    elseif line:find("^== killed") then
      killed = line:match("^== (.*)")
    elseif spec == "command" then
      print(kernel .. " " .. line)
    elseif spec and line ~= "" then
      lines[#lines + 1] = line
    end
  end
  if not done then
    print(("%-5s the guest %s%s"):format(kernel, killed and "was " .. killed or "died", spec and ", in " .. spec or ""))
    tail(spec and lines or {}, BRIEF)
    print("    the last lines of its console:")
    tail(read(dir .. "/console.log") or {}, 40)
    os.exit(1)
  end
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

-- The specs that were asked for, in order.
local function asked(kernels)
  local specs, known = {}, {}
  for _, kernel in ipairs(kernels) do
    for _, spec in ipairs(assert(read(TOP .. kernel .. "/specs"), "no results of kernel " .. kernel)) do
      if not known[spec] then
        known[spec] = true
        specs[#specs + 1] = spec
      end
    end
  end
  return specs
end

-- Results of a folder by spec.
local function gather(name, specs)
  local results = {}
  for _, spec in ipairs(specs) do
    local lines = read(tap_path(TOP .. name, spec))
    results[spec] = lines and parse(lines)
  end
  return results
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
      row[i + 1] = not result and column.extra and "–" or cell(result)
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
      local failed = result and result.failed or not result and not column.extra and { "never ran" } or {}
      for _, name in ipairs(failed) do
        failures[#failures + 1] = { column.name, spec, name }
      end
    end
  end
  if failures[1] then
    print("\nFailed")
    print_table(failures)
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

local function judge(kernels)
  local specs, columns = asked(kernels), {}
  for _, kernel in ipairs(kernels) do
    columns[#columns + 1] = { name = kernel, results = gather(kernel, specs) }
  end
  for _, name in ipairs(whole(kernels) and EXTRA or {}) do
    local results = gather(name, specs)
    if next(results) then
      columns[#columns + 1] = { name = name, results = results, extra = true }
    end
  end
  show_results(columns, specs)
  local never = show_skips(columns)
  local failed = show_failures_of(columns, specs)
  if whole(kernels) and never[1] then
    failed = true
    print("\nSkipped everywhere, so nobody knows whether it works:\n" .. table.concat(never, "\n"))
  end
  os.exit(not failed)
end

if arg[1] == "follow" then
  follow(assert(arg[2], "which folder?"))
else
  judge({ table.unpack(arg, 2) })
end
