-- SPDX-License-Identifier: MIT
-- The graph of the registers of the intermediate code: which ones must differ as they are live at the same time, and
-- what else instructions ask of them.
--
-- A call destroys r0 to r5, so what is live across calls has four registers.

local fold = require("bpf.program.fold")
local ir = require("bpf.program.ir")

local interference = {}

local is_register = ir.is_register

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
    moves = {}, -- by weight: a list of pairs of ids, one after the other, that would better be the same
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

-- The weight of a register that may be new.
function Graph:weigh(register)
  return self.weight[self:node(register)]
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
    local list = self.moves[weight] or {}
    self.moves[weight] = list
    list[#list + 1] = d.id
    list[#list + 1] = a.id
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
  local n = live.n + 1
  live.n, live[n], places[id] = n, id, n
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
  local weights, edges, keys = graph.weight, graph.edges, graph.keys
  local function read(uses)
    for n = 1, #uses do
      local id = uses[n].id
      weights[id] = (weights[id] or graph:weigh(uses[n])) + weight
      if not places[id] then
        add_live(live, places, id)
      end
    end
  end
  local function define(i, d)
    local id = d.id
    weights[id] = (weights[id] or graph:weigh(d)) + weight
    remove_live(live, places, id)
    local source = i.op == "move" and is_register(i.a) and i.a.id
    local key = id * keys
    for k = 1, live.n do
      local other = live[k]
      if other ~= source and not edges[key + other] then
        graph:edge(id, other)
      end
    end
  end
  for _, register in ipairs(block.live_out) do
    add_live(live, places, graph:node(register))
  end
  read(block.terminator.uses)
  local list = block.instructions
  for n = #list, 1, -1 do
    local i = list[n]
    local d = i.d
    if d and not i.no_result then
      define(i, d)
    end
    local constrain = CONSTRAINTS[i.op]
    if constrain then
      constrain(graph, i, live, weight)
    end
    read(i.uses)
  end
end

local ALL <const> = { 1, 2, 3, 4, 5, 0, 6, 7, 8, 9 }
local UNRESERVED <const> = { 1, 2, 3, 4, 6, 7, 8, 9 } -- without those that spilled registers need
local KEPT <const> = { 6, 7, 8, 9 } -- by calls

interference.KEPT = KEPT

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

function Graph:count_all()
  for _, register in ipairs(self.nodes) do
    self:count(register.id)
  end
end

-- Returns the graph of a function that has liveness.
function interference.graph(f)
  local graph, weights = new_graph(f), block_weights(f)
  for id, block in ipairs(f.blocks) do
    if block.terminator.op == "exit" and is_register(block.terminator.a) then
      graph:want(block.terminator.a, 0, weights[id])
    end
    scan(graph, block, weights[id])
  end
  graph:count_all()
  return graph
end

return interference
