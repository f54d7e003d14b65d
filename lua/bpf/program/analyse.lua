-- SPDX-License-Identifier: MIT
-- Runs a function's bytecode over what is known of each register, and makes the intermediate code on the way. Where a
-- loop begins, the function is compiled again until nothing new comes.
local Compiler = require("bpf.program.compiler")
local flow = require("bpf.program.flow")
local ir = require("bpf.program.ir")
local source = require("bpf.program.source")
local sorted = require("bpf.base.sorted")

function Compiler:go(pc)
  local way = self:edge(self.state, pc)
  self.f:jump(way)
  way.fill()
end

local MIRRORED = { eq = "eq", ne = "ne", slt = "sgt", sle = "sge", sgt = "slt", sge = "sle" }

local holds = {
  eq = function(a, b) return a == b end, ne = function(a, b) return a ~= b end,
  slt = function(a, b) return a < b end, sle = function(a, b) return a <= b end,
  sgt = function(a, b) return a > b end, sge = function(a, b) return a >= b end,
}

-- Goes to one pc or another, each with what is known there. A condition that is known is decided here.
function Compiler:branch(cc, a, b, yes_pc, yes_state, no_pc, no_state)
  if math.type(a) and math.type(b) then
    local yes = holds[cc](a, b)
    self.state = yes and yes_state or no_state
    return self:go(yes and yes_pc or no_pc)
  elseif math.type(a) then
    a, b, cc = b, a, MIRRORED[cc]
  end
  local yes, no = self:edge(yes_state, yes_pc), self:edge(no_state, no_pc)
  self.f:branch(cc, a, b, yes, no)
  yes.fill()
  no.fill()
end

-- Strings that are still to be read are read before the ways part.
function Compiler:materialize_live(pc)
  for _, register in ipairs(sorted.keys(self.state)) do
    local v = self.state[register]
    if v.kind == "pending" and (self.live[pc][register] or self.live[pc + 1][register]) then
      self.state[register] = self:materialize(v)
    end
  end
end

local ENDS_BLOCK = { FORPREP = true, TFORPREP = true }

-- Compiles one instruction. Returns where to go on in the same block, or nil.
function Compiler:step(pc)
  local f, i = self.f, self.proto.code[pc]
  self.pc, self.made, self.root.at = pc, 0, self
  f.line = i.line and self.unit:line_of(self.proto.source, i.line) or f.line
  if flow.CONDITIONS[i.op] or ENDS_BLOCK[i.op] then
    self:materialize_live(pc)
  end
  local op = self.ops[i.op]
  if not op then
    self:fail("this isn't possible in a BPF program (%s)", i.op)
  end
  op(self, i, self.state, pc)
  if not f.current then
    return nil
  end
  local target = flow.targets(self, pc)[1]
  if ENDS_BLOCK[i.op] or self.blocks[target] or not flow.inside(self, target) then
    return self:go(target)
  end
  return target
end

function Compiler:compile_block(t)
  if t.incoming[1] then
    self.pc, self.made = t.pc, 1000
    self:arrive(t, self.live[t.pc])
  end
  self.f:start(t.block)
  self.state = self:enter(t)
  local loop = self.proto.counters[t.pc]
  if loop then
    self.state[loop.variable] = self.state[loop.counter]
  end
  self.lookup = not t.loop and t.lookup or nil
  local pc = t.pc
  while pc do
    pc = self:step(pc)
  end
end

-- One round over all blocks, from the entry with its state on.
function Compiler:round(entry)
  local f = self.f
  for _, pc in ipairs(self.order) do
    local t = self.blocks[pc]
    t.block, t.incoming, t.state, t.passed, t.lookup = f:block(), {}, nil, nil, nil
  end
  self.lookup = nil
  self.pc, self.made = entry, 2000 -- beyond what instructions and blocks make
  self.state = self:start_state()
  self:go(entry)
  for _, pc in ipairs(self.order) do
    local t = self.blocks[pc]
    if t.state or t.incoming[1] or t.loop and t.kinds then -- others can't be reached
      self:compile_block(t)
    end
  end
end

function Compiler:prepare(entry)
  local proto = self.proto
  if not proto.live then
    proto.live = flow.liveness(self)
    proto.counters = flow.counters(proto, proto.live)
  end
  self.live = proto.live
  self.steps = {} -- of numeric loops, by pc
  self.blocks, self.order = flow.blocks(self, entry)
end

local ROUNDS <const> = 30

-- Compiles, by a function, until nothing new comes.
function Compiler:settle(compile)
  for _ = 1, ROUNDS do
    self.changed = false
    compile()
    if not self.changed then
      return
    end
  end
  self:fail("a variable of a loop holds another kind of value in every round: use several variables")
end

-- Compiles from an entry on into a function of its own, which is returned.
function Compiler:compile(entry)
  local place = ("%s:%d"):format(source.chunk_name(self.proto.source), self.proto.code[entry].line or self.proto.line)
  self:prepare(entry)
  self:settle(function()
    local f = ir.new(self.function_name)
    f.place = place
    f.registers = self.f and self.f.registers or 0 -- blocks keep theirs from round to round
    self.f = f
    f:start(f:block())
    self:prologue()
    self:round(entry)
  end)
  return self.f
end
