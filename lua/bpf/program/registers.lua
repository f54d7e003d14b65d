-- SPDX-License-Identifier: MIT
-- Gives virtual registers BPF's, by colouring the graph of those that are live at the same time: `register.number`, or,
-- where there are too few, `register.slot`, an object on the stack.
--
-- A call destroys r0 to r5, so what is live across calls has four registers. If any register is on the stack, r0 and r5
-- are kept for the instructions that read and write it.

local ir = require("bpf.program.ir")
local fold = require("bpf.program.fold")

local registers = {}

local each_use, is_register = ir.each_use, ir.is_register

-- Liveness ------------------------------------------------------------------------------------------------------------

-- The registers that a block reads before it defines them, and those that it defines, by id.
local function summarize(block)
  local reads, defines = {}, {}
  local function read(register)
    if not defines[register.id] then
      reads[register.id] = register
    end
  end
  for _, i in ipairs(block.instructions) do
    each_use(i, read)
    if i.d then
      defines[i.d.id] = true
    end
  end
  each_use(block.terminator, read)
  return reads, defines
end

-- Sets each block's `live_out`: the registers, by id, whose value is read behind the block. Goes from each read to the
-- definitions, so it takes no longer than the sets are large.
function registers.liveness(f)
  local before, reads, defines = {}, {}, {}
  for _, block in ipairs(f.blocks) do
    before[block], block.live_in, block.live_out = {}, {}, {}
    reads[block], defines[block] = summarize(block)
  end
  for _, block in ipairs(f.blocks) do
    local t = block.terminator
    for _, target in ipairs({ t.yes, t.no }) do
      table.insert(before[target], block)
    end
  end
  for _, block in ipairs(f.blocks) do
    for id, register in pairs(reads[block]) do
      local pending = not block.live_in[id] and { block } or {}
      block.live_in[id] = register
      while #pending > 0 do
        for _, from in ipairs(before[table.remove(pending)]) do
          from.live_out[id] = register
          if not defines[from][id] and not from.live_in[id] then
            from.live_in[id] = register
            pending[#pending + 1] = from
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
  for id, block in ipairs(f.blocks) do
    for _, target in ipairs({ block.terminator.yes, block.terminator.no }) do
      if target.id <= id then
        begins[target.id] = begins[target.id] + 1
        begins[id + 1] = begins[id + 1] - 1
      end
    end
  end
  local depth, weights = 0, {}
  for id in ipairs(f.blocks) do
    depth = depth + begins[id]
    weights[id] = 8 ^ math.min(depth, 4)
  end
  return weights
end

-- Everything is by a register's id.
local Graph = {}
Graph.__index = Graph

local function new_graph()
  return setmetatable({
    nodes = {}, -- the registers in the order in which they are met
    adjacent = {}, -- sets of ids
    degree = {},
    weight = {}, -- how often a register is read and written
    crosses = {}, -- whether it is live across a call
    wanted = {}, -- by BPF's registers: how many moves it saves to be that one
    avoided = {}, -- BPF's registers that it can't be
    moves = {}, -- { id, id, weight } of those that would better be the same
    parent = {}, -- what a register has been joined to
  }, Graph)
end

function Graph:node(register)
  local id = register.id
  if not self.adjacent[id] then
    self.nodes[#self.nodes + 1] = register
    self.adjacent[id], self.degree[id], self.weight[id] = {}, 0, 0
    self.wanted[id] = {}
  end
  return id
end

function Graph:edge(x, y)
  local adjacent, degree = self.adjacent, self.degree
  if x ~= y and not adjacent[x][y] then
    adjacent[x][y], adjacent[y][x] = true, true
    degree[x], degree[y] = degree[x] + 1, degree[y] + 1
  end
end

function Graph:want(register, number, weight)
  local wanted = self.wanted[self:node(register)]
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

-- What instructions ask for besides that what is live at the same time differs. `live` has what is live behind them.
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
      for id in pairs(live) do
        graph:avoid(id, 0)
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
    for id in pairs(live) do
      graph.crosses[id] = true
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

-- Adds what a block has, from its last instruction to the first.
local function scan(graph, block, weight)
  local live = {}
  for id, register in pairs(block.live_out) do
    live[id] = register
  end
  local function read(register)
    local id = graph:node(register)
    graph.weight[id] = graph.weight[id] + weight
    live[id] = register
  end
  each_use(block.terminator, read)
  local list = block.instructions
  for n = #list, 1, -1 do
    local i = list[n]
    local d = not i.no_result and i.d
    if d then
      local id = graph:node(d)
      graph.weight[id] = graph.weight[id] + weight
      live[id] = nil
      local source = i.op == "move" and is_register(i.a) and i.a.id
      for other, register in pairs(live) do
        if other ~= source then
          graph:node(register)
          graph:edge(id, other)
        end
      end
    end
    local constrain = CONSTRAINTS[i.op]
    if constrain then
      constrain(graph, i, live, weight)
    end
    each_use(i, read)
  end
end

local function build(f)
  local graph, weights = new_graph(), block_weights(f)
  for id, block in ipairs(f.blocks) do
    if block.terminator.op == "exit" and is_register(block.terminator.a) then
      graph:want(block.terminator.a, 0, weights[id])
    end
    scan(graph, block, weights[id])
  end
  return graph
end

-- Joining -------------------------------------------------------------------------------------------------------------

local ALL <const> = { 1, 2, 3, 4, 5, 0, 6, 7, 8, 9 }
local UNRESERVED <const> = { 1, 2, 3, 4, 6, 7, 8, 9 }
local KEPT <const> = { 6, 7, 8, 9 } -- by calls

-- Which of BPF's registers a register may be.
function Graph:pool(id)
  return self.crosses[id] and KEPT or self.reserve and UNRESERVED or ALL
end

-- How many they are, at least.
function Graph:room(id)
  local n = #self:pool(id)
  for _ in pairs(self.avoided[id] or {}) do
    n = n - 1
  end
  return n
end

function Graph:find(id)
  local parent = self.parent
  while parent[id] do
    id = parent[id]
  end
  return id
end

-- Whether two registers that are never live at the same time may be joined and the graph still be coloured as easily:
-- by Briggs, if fewer neighbours than there are colours have many neighbours themselves.
function Graph:may_join(x, y)
  local room = (self.crosses[x] or self.crosses[y]) and #KEPT or math.min(self:room(x), self:room(y))
  local n = 0
  for other in pairs(self.adjacent[x]) do
    local degree = self.degree[other] - (self.adjacent[y][other] and 1 or 0)
    if degree >= self:room(other) then
      n = n + 1
    end
  end
  for other in pairs(self.adjacent[y]) do
    if not self.adjacent[x][other] and self.degree[other] >= self:room(other) then
      n = n + 1
    end
  end
  return n < room
end

-- Makes y the same as x.
function Graph:join(x, y)
  local adjacent, degree = self.adjacent, self.degree
  for other in pairs(adjacent[y]) do
    adjacent[other][y] = nil
    degree[other] = degree[other] - 1
    self:edge(x, other)
  end
  adjacent[y] = {}
  self.parent[y] = x
  self.crosses[x] = self.crosses[x] or self.crosses[y]
  self.weight[x] = self.weight[x] + self.weight[y]
  for number, weight in pairs(self.wanted[y]) do
    self.wanted[x][number] = (self.wanted[x][number] or 0) + weight
  end
  for number in pairs(self.avoided[y] or {}) do
    self:avoid(x, number)
  end
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
    if x ~= y and not self.adjacent[x][y] and self:may_join(x, y) then
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
  local degree, easy, hard, stack, done = {}, {}, {}, {}, {}
  local room = {}
  for _, register in ipairs(self.nodes) do
    local id = register.id
    if not self.parent[id] then
      degree[id], room[id] = self.degree[id], self:room(id)
      local list = degree[id] < room[id] and easy or hard
      list[#list + 1] = id
    end
  end
  local function take(id)
    done[id] = true
    stack[#stack + 1] = id
    local freed = {}
    for other in pairs(self.adjacent[id]) do
      degree[other] = degree[other] - 1
      if degree[other] == room[other] - 1 and not done[other] then
        freed[#freed + 1] = other
      end
    end
    table.sort(freed)
    table.move(freed, 1, #freed, #easy + 1, easy)
  end
  while true do
    local id = table.remove(easy)
    while id do
      if not done[id] then
        take(id)
      end
      id = table.remove(easy)
    end
    local left = {}
    for _, other in ipairs(hard) do
      left[#left + 1] = not done[other] and other or nil
    end
    hard = left
    id = cheapest(self, hard, degree)
    if not id then
      return stack
    end
    take(id)
  end
end

-- The best of BPF's registers for a register, or nil.
function Graph:choose(id, colours)
  local taken, claimed = {}, {} -- by neighbours that have a colour, or have none yet and want this one
  for other in pairs(self.adjacent[id]) do
    local colour = colours[other]
    if colour then
      taken[colour] = true
    else
      for number, weight in pairs(self.wanted[other]) do
        claimed[number] = math.max(claimed[number] or 0, weight)
      end
    end
  end
  local best, score
  local wanted, avoided = self.wanted[id], self.avoided[id]
  for _, colour in ipairs(self:pool(id)) do
    if not taken[colour] and not (avoided and avoided[colour]) then
      local s = (wanted[colour] or 0) - (claimed[colour] or 0)
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
    for other in pairs(graph.adjacent[id]) do
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
      f.objects[#f.objects + 1] = of[id]
    end
  end
  return of
end

-- Needs liveness. Sets the registers' `number` or `slot`.
function registers.allocate(f)
  local graph, colours, spilled
  for try = 1, 2 do
    graph = build(f)
    graph.reserve = try == 2
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
  f.spilled = #spilled
end

return registers
