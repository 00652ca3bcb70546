-- POST of objects with names that nobody used yet: BENCH_BODY with "@" replaced by BENCH_RUN and a number.
dofile(os.getenv("BENCH_LUA") .. "/done.lua")
local number = 0
local before, after = os.getenv("BENCH_BODY"):match("^(.-)@(.*)$")
local prefix = before .. os.getenv("BENCH_RUN") .. "-"
local headers = { ["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN"), ["Content-Type"] = "application/json",
   ["Accept"] = "application/json", ["User-Agent"] = "bench/1.0" }
local path = os.getenv("BENCH_PATH")
function request()
   number = number + 1
   return wrk.format("POST", path, headers, prefix .. number .. after)
end
