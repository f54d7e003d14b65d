-- SPDX-License-Identifier: MIT
-- Tables that a program makes are values of the compiler's. Where paths meet, and in loops that the kernel runs, each
-- of their members is a place of its own, as a register is: member x of the table in register 5 is "5.x". Of the table
-- itself its shape is left, the list of its members' names.
local values = require("bpf.program.values")

local NIL = values.NIL

local shapes = {}

-- Whether a value is in registers or on the stack of a function.
function shapes.in_function(v)
  return shapes.any(v, function(x) return values.at_run_time(x) or x.kind == "buffer" or x.kind == "pending" end)
end

local function member(place, name)
  return ("%s%s%s"):format(place, math.type(name) and "#" or ".", name)
end

local function add_names(shape, v)
  local grown = false
  for _, name in ipairs(v.order) do
    if not shape.has[name] then
      shape.has[name], grown = true, true
      shape.order[#shape.order + 1] = name
    end
  end
  if v.fixed and not shape.fixed then
    shape.fixed, grown = v.fixed, true
  end
  return grown
end

-- Whether a local function that was made in f captured what only f has.
local function captures(v, f)
  for _, upvalue in pairs(v.kind == "closure" and v.f == f and v.upvalues or {}) do
    if upvalue ~= v and (shapes.in_function(upvalue) or captures(upvalue, f)) then
      return true
    end
  end
  return false
end

local function closure_shape(v)
  local shape = { kind = "shape", order = {}, has = {}, closure = v }
  for n in pairs(v.upvalues) do
    shape.order[#shape.order + 1] = n
  end
  table.sort(shape.order)
  return shape
end

-- Spreads the values of registers: returns their places in order, the values by place, and whether a shape in `kinds`
-- is new or has grown. What local functions captured of f gets places as well, for those that run elsewhere.
function shapes.spread(kinds, registers, state, f)
  local places, by_place, grown = {}, {}, false
  local function put(place, v)
    local shape = kinds[place]
    places[#places + 1], by_place[place] = place, v
    if f and not shape and captures(v, f) then
      shape = closure_shape(v)
      kinds[place], by_place[place] = shape, shape
      for _, n in ipairs(shape.order) do
        if v.upvalues[n] ~= v then
          put(member(place, n), v.upvalues[n])
        end
      end
      return
    elseif v.kind ~= "table" or shape and (shape.kind ~= "shape" or shape.closure) then
      return
    elseif not shape then
      shape = { kind = "shape", order = {}, has = {} }
      kinds[place], grown = shape, true
    end
    grown = add_names(shape, v) or grown
    by_place[place] = shape
    for _, name in ipairs(shape.order) do
      put(member(place, name), v.fields[name] or NIL)
    end
  end
  for _, register in ipairs(registers) do
    put(register, state[register] or values.mixed(NIL, NIL))
  end
  return places, by_place, grown
end

local gathered

-- A local function as it is in another function f, which has what it captured. `closures` has those of earlier rounds.
local function closure_in(by_place, place, closures, f)
  local shape = by_place[place]
  local v = closures[place] or { kind = "closure", proto = shape.closure.proto }
  closures[place], v.upvalues, v.f = v, {}, f
  for _, n in ipairs(shape.order) do
    local at = member(place, n)
    v.upvalues[n] = by_place[at] and gathered(by_place, at, closures, f) or v
  end
  return v
end

-- The value at a place, whose members are put together again.
function gathered(by_place, place, closures, f)
  local v = by_place[place]
  if v.kind ~= "shape" then
    return v
  elseif v.closure then
    return f and closure_in(by_place, place, closures, f) or v.closure
  end
  local whole = { kind = "table", fields = {}, order = {}, fixed = v.fixed }
  for _, name in ipairs(v.order) do
    local field = gathered(by_place, member(place, name), closures, f)
    if not values.is_nil(field) then
      whole.order[#whole.order + 1], whole.fields[name] = name, field
    end
  end
  return whole
end
shapes.gathered = gathered

-- The state of registers out of values by place.
function shapes.gather(by_place, closures, f)
  local state = {}
  for place in pairs(by_place) do
    if math.type(place) then
      state[place] = gathered(by_place, place, closures, f)
    end
  end
  return state
end

-- The register whose value has the place.
function shapes.register_of(place)
  return math.type(place) and place or math.tointeger(tonumber(place:match("^[0-9]+")))
end

local SHARED <const> = "has several names here, and can't be changed any more: change it before, or use a map"

-- Tables with several names are the same one no more when their members have got places: they can't be changed then.
function shapes.fix_shared(registers, state)
  local seen = {}
  local function visit(v)
    if v.kind == "table" then
      v.fixed = v.fixed or seen[v] and SHARED or nil
      seen[v] = true
      for _, name in ipairs(v.order) do
        visit(v.fields[name])
      end
    end
  end
  for _, register in ipairs(registers) do
    visit(state[register] or NIL)
  end
end

-- Whether a table has a member for which the function returns true, however deep.
function shapes.any(v, is_so)
  if v.kind ~= "table" then
    return is_so(v)
  end
  for _, name in ipairs(v.order) do
    if shapes.any(v.fields[name], is_so) then
      return true
    end
  end
  return false
end

return shapes
