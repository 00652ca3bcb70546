-- GET of random objects among o-0 .. o-(COUNT-1) below BENCH_PATH. The requests are made once, wrk only picks.
dofile(os.getenv("BENCH_LUA") .. "/done.lua")
local requests = {}
function init(arguments)
   local headers = { ["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN"), ["Accept"] = os.getenv("BENCH_ACCEPT"),
      ["User-Agent"] = "bench/1.0" }
   for number = 0, tonumber(os.getenv("BENCH_COUNT")) - 1 do
      requests[number + 1] = wrk.format("GET", os.getenv("BENCH_PATH") .. "/o-" .. number, headers)
   end
   math.randomseed(os.time())
end
function request()
   return requests[math.random(#requests)]
end
