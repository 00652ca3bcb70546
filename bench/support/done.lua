-- What wrk.py reads: requests, microseconds, answers that are errors, broken connections, median and 99th percentile.
function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format("RESULT %d %d %d %d %.1f %.1f\n", summary.requests, summary.duration, e.status,
      e.connect + e.read + e.write + e.timeout, latency:percentile(50), latency:percentile(99)))
end
