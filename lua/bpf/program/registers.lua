-- SPDX-License-Identifier: MIT
-- Gives virtual registers BPF's, by colouring the graph of those that are live at the same time: `register.number`, or,
-- where there are too few, `register.slot`, an object on the stack.
--
-- If any register is on the stack, r0 and r5 are kept for the instructions that read and write it.

local interference = require("bpf.program.interference")
local sorted = require("bpf.base.sorted")

local registers = {}

local KEPT <const> = interference.KEPT

-- Joining -------------------------------------------------------------------------------------------------------------

local function find(graph, id)
  local parent = graph.parent
  while parent[id] do
    id = parent[id]
  end
  return id
end

-- How many of x's neighbours have as many neighbours as colours, if x and y are one. Those of y aren't counted again.
local function count_hard(graph, x, y, again)
  local edges, degree, room, parent = graph.edges, graph.degree, graph.room, graph.parent
  local n, key = 0, y * graph.keys
  for _, other in ipairs(graph.neighbours[x]) do
    if not parent[other] then
      local shared = edges[key + other]
      if degree[other] - (shared and 1 or 0) >= room[other] and (again or not shared) then
        n = n + 1
      end
    end
  end
  return n
end

-- Whether what differs from y differs from x already or has fewer neighbours than colours.
local function adds_nothing_hard(graph, x, y)
  local edges, degree, room, parent = graph.edges, graph.degree, graph.room, graph.parent
  local key = x * graph.keys
  local list = graph.neighbours[y]
  for n = 1, #list do
    local other = list[n]
    if not parent[other] and not edges[key + other] and degree[other] >= room[other] then
      return false
    end
  end
  return true
end

local FEW <const> = 32 -- neighbours, so that a register with many moves and neighbours doesn't take long

-- Whether two registers that are never live at the same time may be joined and the graph still be coloured as easily:
-- by George, if y, the one with fewer neighbours, brings nothing hard; by Briggs, if fewer neighbours of both than
-- there are colours have many neighbours themselves.
local function may_join(graph, x, y)
  local crosses, degree = graph.crosses, graph.degree
  if degree[x] < degree[y] then
    x, y = y, x
  end
  if (crosses[x] or not crosses[y]) and not graph.avoided[y] and adds_nothing_hard(graph, x, y) then
    return true
  elseif degree[x] + degree[y] > FEW then
    return false
  end
  local room = (crosses[x] or crosses[y]) and #KEPT or math.min(graph.room[x], graph.room[y])
  return degree[x] + degree[y] < room or count_hard(graph, x, y, true) + count_hard(graph, y, x, false) < room
end

-- Makes y the same as x.
local function join(graph, x, y)
  local degree, parent = graph.degree, graph.parent
  parent[y] = x
  for _, other in ipairs(graph.neighbours[y]) do
    if not parent[other] then
      degree[other] = degree[other] - 1
      graph:edge(x, other)
    end
  end
  graph.crosses[x] = graph.crosses[x] or graph.crosses[y]
  graph.weight[x] = graph.weight[x] + graph.weight[y]
  if graph.wanted[y] then
    local wanted = graph.wanted[x] or {}
    graph.wanted[x] = wanted
    for number, weight in pairs(graph.wanted[y]) do
      wanted[number] = (wanted[number] or 0) + weight
    end
  end
  for number in pairs(graph.avoided[y] or {}) do
    graph:avoid(x, number)
  end
  graph:count(x)
end

-- Joins the registers that are moved to each other, where it does no harm: first those in the innermost loops.
local function join_moves(graph)
  local weights = sorted.keys(graph.moves)
  for n = #weights, 1, -1 do
    local list = graph.moves[weights[n]]
    for k = 1, #list, 2 do
      local x, y = find(graph, list[k]), find(graph, list[k + 1])
      if x ~= y and not graph:differ(x, y) and may_join(graph, x, y) then
        join(graph, x, y)
      end
    end
  end
end

-- Colours -------------------------------------------------------------------------------------------------------------

-- The register of a list that costs least on the stack, or nil.
local function cheapest(graph, list, degree)
  local best, cost
  for _, id in ipairs(list) do
    local c = graph.weight[id] / (degree[id] + 1)
    if not best or c < cost then
      best, cost = id, c
    end
  end
  return best
end

-- The order in which to colour, backwards: what has fewer neighbours than colours can wait for its neighbours.
local function order(graph)
  local degree, room, parent = {}, graph.room, graph.parent
  local easy, hard, stack, done = {}, {}, {}, {}
  for n = #graph.nodes, 1, -1 do
    local id = graph.nodes[n].id
    if not parent[id] then
      degree[id] = graph.degree[id]
      local list = degree[id] < room[id] and easy or hard
      list[#list + 1] = id
    end
  end
  local function take(id)
    done[id] = true
    stack[#stack + 1] = id
    local list = graph.neighbours[id]
    for n = 1, #list do
      local other = list[n]
      if not parent[other] then
        local rest = degree[other] - 1
        degree[other] = rest
        if rest == room[other] - 1 and not done[other] then
          easy[#easy + 1] = other
        end
      end
    end
  end
  while true do
    while #easy > 0 do
      local id = easy[#easy]
      easy[#easy] = nil
      if not done[id] then
        take(id)
      end
    end
    local left = {}
    for _, other in ipairs(hard) do
      left[#left + 1] = not done[other] and other or nil
    end
    hard = left
    local id = cheapest(graph, hard, degree)
    if not id then
      return stack
    end
    take(id)
  end
end

-- The best of BPF's registers for a register, or nil.
local function choose(graph, id, colours)
  local parent, wants, crosses = graph.parent, graph.wanted, graph.crosses
  local taken, claimed = 0, nil -- by neighbours that have a colour, or have none yet and want this one
  local list = graph.neighbours[id]
  for n = 1, #list do
    local other = list[n]
    local colour = colours[other]
    if colour then
      taken = taken | 1 << colour
    elseif wants[other] and not parent[other] and not crosses[other] then -- which can't be what it wants
      claimed = claimed or {}
      for number, weight in pairs(wants[other]) do
        claimed[number] = math.max(claimed[number] or 0, weight)
      end
    end
  end
  local best, score
  local wanted, avoided = wants[id], graph.avoided[id]
  for _, colour in ipairs(graph:pool(id)) do
    if taken & 1 << colour == 0 and not (avoided and avoided[colour]) then
      local s = (wanted and wanted[colour] or 0) - (claimed and claimed[colour] or 0)
      if not best or s > score then
        best, score = colour, s
        if not wanted and s == 0 then
          return best
        end
      end
    end
  end
  return best
end

-- Returns the colours by id, and a list of the ids that have none.
local function colour(graph)
  local stack = order(graph)
  local colours, spilled = {}, {}
  for n = #stack, 1, -1 do
    local id = stack[n]
    colours[id] = choose(graph, id, colours)
    if not colours[id] then
      spilled[#spilled + 1] = id
    end
  end
  return colours, spilled
end

-- Places on the stack for registers, shared by those that are never live at the same time.
local function place(f, graph, spilled)
  local slots, of = {}, {}
  for _, id in ipairs(spilled) do
    local taken = {}
    for _, other in ipairs(graph.neighbours[id]) do
      if of[other] then
        taken[of[other]] = true
      end
    end
    for _, slot in ipairs(slots) do
      if not taken[slot] then
        of[id] = slot
        break
      end
    end
    if not of[id] then
      of[id] = { size = 8, stack = true }
      slots[#slots + 1] = of[id]
    end
  end
  f.slots = slots
  return of
end

-- Needs liveness. Sets the registers' `number` or `slot`, and the function's `slots`.
function registers.allocate(f)
  local graph = interference.graph(f)
  join_moves(graph)
  local colours, spilled = colour(graph)
  if #spilled > 0 then
    graph.reserve = true
    graph:count_all()
    colours, spilled = colour(graph)
  end
  local slots = place(f, graph, spilled)
  for _, register in ipairs(graph.nodes) do
    local id = find(graph, register.id)
    register.number, register.slot = colours[id], slots[id]
  end
end

return registers
