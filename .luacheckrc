-- What `make lint` asks of the Lua files.
std = "lua54"
max_line_length = 120
files["spec/**/*_spec.lua"].std = "+busted"
files[".luacheckrc"].std = "+luacheckrc"
exclude_files = { "types" }
