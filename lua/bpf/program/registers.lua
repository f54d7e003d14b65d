-- SPDX-License-Identifier: MIT
-- Gives virtual registers BPF's, by colouring the graph of those that are live at the same time: `register.number`, or,
-- where there are too few, `register.slot`, an object on the stack.
--
-- A call destroys r0 to r5, so what is live across calls has four registers. If any register is on the stack, r0 and r5
-- are kept for the instructions that read and write it.

local ir = require("bpf.program.ir")
local fold = require("bpf.program.fold")

local registers = {}

local is_register = ir.is_register

-- Liveness ------------------------------------------------------------------------------------------------------------

-- Notes in `reads` what each block reads before it defines it, and in `defines` what it defines, by a key of the
-- block's and the register's ids.
local function summarize(f, keys, reads, defines)
  local defined_in = {}
  for id, block in ipairs(f.blocks) do
    local list, seen = {}, {}
    local function read(instruction)
      local uses = instruction.uses
      for n = 1, #uses do
        local register = uses[n]
        if defined_in[register.id] ~= id and not seen[register.id] then
          seen[register.id] = true
          list[#list + 1] = register
        end
      end
    end
    for _, i in ipairs(block.instructions) do
      read(i)
      if i.d then
        defined_in[i.d.id] = id
        defines[id * keys + i.d.id] = true
      end
    end
    read(block.terminator)
    reads[id] = list
  end
end

-- By block: the list of those that lead to it.
local function predecessors(f)
  local before = {}
  for id in ipairs(f.blocks) do
    before[id] = {}
  end
  for _, block in ipairs(f.blocks) do
    local yes, no = block.terminator.yes, block.terminator.no
    if yes then
      table.insert(before[yes.id], block)
    end
    if no then
      table.insert(before[no.id], block)
    end
  end
  return before
end

-- Sets each block's `live_out`: a list of the registers whose value is read behind the block. Goes from each read back
-- to the definitions, so it takes no longer than the lists are. Needs the instructions' `uses`.
function registers.liveness(f)
  local keys = f.registers + 1
  local reads, defines, entered, left = {}, {}, {}, {} -- the latter have keys where a register is live
  summarize(f, keys, reads, defines)
  local before = predecessors(f)
  for _, block in ipairs(f.blocks) do
    block.live_out = {}
  end
  local pending = {}
  for id in ipairs(f.blocks) do
    for _, register in ipairs(reads[id]) do
      local register_id = register.id
      if not entered[id * keys + register_id] then
        entered[id * keys + register_id] = true
        pending[1] = id
      end
      while #pending > 0 do
        local list = before[pending[#pending]]
        pending[#pending] = nil
        for n = 1, #list do
          local from = list[n]
          local key = from.id * keys + register_id
          if not left[key] then
            left[key] = true
            from.live_out[#from.live_out + 1] = register
            if not defines[key] and not entered[key] then
              entered[key] = true
              pending[#pending + 1] = from.id
            end
          end
        end
      end
    end
  end
end

-- The graph -----------------------------------------------------------------------------------------------------------

-- How much more often than once each block runs, roughly: 8 for each loop around it.
local function block_weights(f)
  local begins = {}
  for id = 1, #f.blocks + 1 do
    begins[id] = 0
  end
  local function add(id, target)
    if target and target.id <= id then
      begins[target.id] = begins[target.id] + 1
      begins[id + 1] = begins[id + 1] - 1
    end
  end
  for id, block in ipairs(f.blocks) do
    add(id, block.terminator.yes)
    add(id, block.terminator.no)
  end
  local depth, weights = 0, {}
  for id in ipairs(f.blocks) do
    depth = depth + begins[id]
    weights[id] = 8.0 ^ math.min(depth, 4)
  end
  return weights
end

-- Everything is by a register's id.
local Graph = {}
Graph.__index = Graph

local function new_graph(f)
  return setmetatable({
    keys = f.registers + 1,
    nodes = {}, -- the registers in the order in which they are met
    edges = {}, -- those that differ: a set of id * keys + id
    neighbours = {}, -- the same as lists, which may have registers that were joined to others meanwhile
    degree = {}, -- how many neighbours
    weight = {}, -- how often a register is read and written
    crosses = {}, -- whether it is live across a call
    room = {}, -- how many of BPF's registers it may be
    wanted = {}, -- by BPF's registers: how many moves it saves to be that one; or nothing
    avoided = {}, -- BPF's registers that it can't be; or nothing
    moves = {}, -- { id, id, weight, number } of those that would better be the same
    parent = {}, -- what a register has been joined to
  }, Graph)
end

function Graph:node(register)
  local id = register.id
  if not self.neighbours[id] then
    self.nodes[#self.nodes + 1] = register
    self.neighbours[id], self.degree[id], self.weight[id] = {}, 0, 0.0
  end
  return id
end

function Graph:differ(x, y)
  return self.edges[x * self.keys + y]
end

function Graph:edge(x, y)
  local edges, keys = self.edges, self.keys
  if x ~= y and not edges[x * keys + y] then
    edges[x * keys + y], edges[y * keys + x] = true, true
    local neighbours, degree = self.neighbours, self.degree
    local list = neighbours[x]
    list[#list + 1] = y
    list = neighbours[y]
    list[#list + 1] = x
    degree[x], degree[y] = degree[x] + 1, degree[y] + 1
  end
end

function Graph:want(register, number, weight)
  local id = self:node(register)
  local wanted = self.wanted[id] or {}
  self.wanted[id] = wanted
  wanted[number] = (wanted[number] or 0) + weight
end

function Graph:avoid(id, number)
  self.avoided[id] = self.avoided[id] or {}
  self.avoided[id][number] = true
end

function Graph:move(d, a, weight)
  if is_register(a) and a ~= d then
    self:node(a)
    self.moves[#self.moves + 1] = { d.id, a.id, weight, #self.moves }
  end
end

-- What instructions ask for besides that what is live at the same time differs. `live` is the list of ids that are live
-- behind them.
local CONSTRAINTS = {
  move = function(graph, i, _, weight)
    graph:move(i.d, i.a, weight)
  end,

  -- d = a; d = d op b. What d overwrites may be b where both can change places only.
  alu = function(graph, i, _, weight)
    graph:move(i.d, i.a, weight)
    if is_register(i.b) and i.b ~= i.a then
      if not fold.COMMUTATIVE[i.operation] or not is_register(i.a) then
        graph:edge(i.d.id, graph:node(i.b))
      end
    end
  end,

  swap = function(graph, i, _, weight)
    graph:move(i.d, i.a, weight)
  end,

  -- Arguments come in r1 to r5 and are moved all at once, with r0 to help.
  parameter = function(graph, i, _, weight)
    graph:want(i.d, i.n, weight)
    graph:avoid(i.d.id, 0)
  end,

  -- The old value comes in the register of a, or, for cmpxchg, in r0, where it is compared.
  atomic = function(graph, i, live, weight)
    if i.operation == "cmpxchg" then
      graph:want(i.d, 0, weight)
      for n = 1, live.n do
        graph:avoid(live[n], 0)
      end
      if i.base.id then
        graph:avoid(graph:node(i.base), 0)
      end
      local a = graph:node(i.a)
      graph:avoid(a, 0)
      graph.weight[a] = math.huge -- r0 and r5 are taken by what is expected and the base
    elseif i.fetch then
      graph:move(i.d, i.a, weight)
      if i.base.id then
        graph:edge(i.d.id, graph:node(i.base))
      end
    end
  end,

  call = function(graph, i, live, weight)
    for n = 1, live.n do
      graph.crosses[live[n]] = true
    end
    if not i.no_result then
      graph:want(i.d, 0, weight)
    end
    for n, argument in ipairs(i.arguments) do
      if is_register(argument) then
        graph:want(argument, n, weight)
      end
    end
  end,
}

-- A list of ids with their places in it, so that one can be removed.
local function add_live(live, places, id)
  if not places[id] then
    local n = live.n + 1
    live.n, live[n], places[id] = n, id, n
  end
end

local function remove_live(live, places, id)
  local at = places[id]
  if at then
    local last = live[live.n]
    live[at], places[last] = last, at
    places[id], live.n = nil, live.n - 1
  end
end

-- Adds what a block has, from its last instruction to the first.
local function scan(graph, block, weight)
  local live, places = { n = 0 }, {}
  local weights = graph.weight
  local function read(uses)
    for n = 1, #uses do
      local id = graph:node(uses[n])
      weights[id] = weights[id] + weight
      add_live(live, places, id)
    end
  end
  for _, register in ipairs(block.live_out) do
    add_live(live, places, graph:node(register))
  end
  read(block.terminator.uses)
  local list = block.instructions
  for n = #list, 1, -1 do
    local i = list[n]
    local d = not i.no_result and i.d
    if d then
      local id = graph:node(d)
      weights[id] = weights[id] + weight
      remove_live(live, places, id)
      local source = i.op == "move" and is_register(i.a) and i.a.id
      for k = 1, live.n do
        local other = live[k]
        if other ~= source then
          graph:edge(id, other)
        end
      end
    end
    local constrain = CONSTRAINTS[i.op]
    if constrain then
      constrain(graph, i, live, weight)
    end
    read(i.uses)
  end
end

local ALL <const> = { 1, 2, 3, 4, 5, 0, 6, 7, 8, 9 }
local UNRESERVED <const> = { 1, 2, 3, 4, 6, 7, 8, 9 }
local KEPT <const> = { 6, 7, 8, 9 } -- by calls

-- Which of BPF's registers a register may be.
function Graph:pool(id)
  return self.crosses[id] and KEPT or self.reserve and UNRESERVED or ALL
end

-- Counts them, or fewer.
function Graph:count(id)
  local n = #self:pool(id)
  local avoided = self.avoided[id]
  if avoided then
    for _ in pairs(avoided) do
      n = n - 1
    end
  end
  self.room[id] = n
end

local function build(f, reserve)
  local graph, weights = new_graph(f), block_weights(f)
  graph.reserve = reserve
  for id, block in ipairs(f.blocks) do
    if block.terminator.op == "exit" and is_register(block.terminator.a) then
      graph:want(block.terminator.a, 0, weights[id])
    end
    scan(graph, block, weights[id])
  end
  for _, register in ipairs(graph.nodes) do
    graph:count(register.id)
  end
  return graph
end

-- Joining -------------------------------------------------------------------------------------------------------------

function Graph:find(id)
  local parent = self.parent
  while parent[id] do
    id = parent[id]
  end
  return id
end

-- How many of x's neighbours have as many neighbours as colours, if x and y are one. Those of y aren't counted again.
function Graph:count_hard(x, y, again)
  local edges, degree, room, parent = self.edges, self.degree, self.room, self.parent
  local n, key = 0, y * self.keys
  for _, other in ipairs(self.neighbours[x]) do
    if not parent[other] then
      local shared = edges[key + other]
      if degree[other] - (shared and 1 or 0) >= room[other] and (again or not shared) then
        n = n + 1
      end
    end
  end
  return n
end

-- Whether two registers that are never live at the same time may be joined and the graph still be coloured as easily:
-- by Briggs, if fewer neighbours than there are colours have many neighbours themselves.
function Graph:may_join(x, y)
  local room = (self.crosses[x] or self.crosses[y]) and #KEPT or math.min(self.room[x], self.room[y])
  return self.degree[x] + self.degree[y] < room
    or self:count_hard(x, y, true) + self:count_hard(y, x, false) < room
end

-- Makes y the same as x.
function Graph:join(x, y)
  local degree, parent = self.degree, self.parent
  parent[y] = x
  for _, other in ipairs(self.neighbours[y]) do
    if not parent[other] then
      degree[other] = degree[other] - 1
      self:edge(x, other)
    end
  end
  self.crosses[x] = self.crosses[x] or self.crosses[y]
  self.weight[x] = self.weight[x] + self.weight[y]
  if self.wanted[y] then
    local wanted = self.wanted[x] or {}
    self.wanted[x] = wanted
    for number, weight in pairs(self.wanted[y]) do
      wanted[number] = (wanted[number] or 0) + weight
    end
  end
  for number in pairs(self.avoided[y] or {}) do
    self:avoid(x, number)
  end
  self:count(x)
end

local function by_weight(x, y)
  if x[3] ~= y[3] then
    return x[3] > y[3]
  end
  return x[4] < y[4]
end

-- Joins the registers that are moved to each other, where it does no harm.
function Graph:join_moves()
  table.sort(self.moves, by_weight)
  for _, move in ipairs(self.moves) do
    local x, y = self:find(move[1]), self:find(move[2])
    if x ~= y and not self:differ(x, y) and self:may_join(x, y) then
      self:join(x, y)
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
function Graph:order()
  local degree, room, parent = self.degree, self.room, self.parent
  local easy, hard, stack, done = {}, {}, {}, {}
  for n = #self.nodes, 1, -1 do
    local id = self.nodes[n].id
    if not parent[id] then
      local list = degree[id] < room[id] and easy or hard
      list[#list + 1] = id
    end
  end
  local function take(id)
    done[id] = true
    stack[#stack + 1] = id
    for _, other in ipairs(self.neighbours[id]) do
      if not parent[other] then
        degree[other] = degree[other] - 1
        if degree[other] == room[other] - 1 and not done[other] then
          easy[#easy + 1] = other
        end
      end
    end
  end
  while true do
    while #easy > 0 do
      local id = table.remove(easy)
      if not done[id] then
        take(id)
      end
    end
    local left = {}
    for _, other in ipairs(hard) do
      left[#left + 1] = not done[other] and other or nil
    end
    hard = left
    local id = cheapest(self, hard, degree)
    if not id then
      return stack
    end
    take(id)
  end
end

-- The best of BPF's registers for a register, or nil.
function Graph:choose(id, colours)
  local parent, wants = self.parent, self.wanted
  local taken, claimed = {}, {} -- by neighbours that have a colour, or have none yet and want this one
  for _, other in ipairs(self.neighbours[id]) do
    local colour = colours[other]
    if colour then
      taken[colour] = true
    elseif wants[other] and not parent[other] then
      for number, weight in pairs(wants[other]) do
        claimed[number] = math.max(claimed[number] or 0, weight)
      end
    end
  end
  local best, score
  local wanted, avoided = wants[id], self.avoided[id]
  for _, colour in ipairs(self:pool(id)) do
    if not taken[colour] and not (avoided and avoided[colour]) then
      local s = (wanted and wanted[colour] or 0) - (claimed[colour] or 0)
      if not best or s > score then
        best, score = colour, s
      end
    end
  end
  return best
end

-- Returns the colours by id, and a list of the ids that have none.
function Graph:colour()
  local stack = self:order()
  local colours, spilled = {}, {}
  for n = #stack, 1, -1 do
    local id = stack[n]
    colours[id] = self:choose(id, colours)
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
  local graph, colours, spilled
  for try = 1, 2 do
    graph = build(f, try == 2)
    graph:join_moves()
    colours, spilled = graph:colour()
    if #spilled == 0 then
      break
    end
  end
  local slots = place(f, graph, spilled)
  for _, register in ipairs(graph.nodes) do
    local id = graph:find(register.id)
    register.number, register.slot = colours[id], slots[id]
  end
end

return registers
