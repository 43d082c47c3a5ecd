-- Cycles through the bodies of a file, one a line, and ends with one line of JSON.
local bodies, place = {}, 0
for line in io.lines(os.getenv("BENCH_BODIES")) do
  bodies[#bodies + 1] = line
end

local requests = {}

function init()
  local headers = { ["Content-Type"] = "application/json" }
  local key = os.getenv("BENCH_KEY")
  if key ~= nil and key ~= "" then
    headers["X-API-Key"] = key
  end
  for number, body in ipairs(bodies) do
    requests[number] = wrk.format("POST", wrk.path, headers, body)
  end
end

function request()
  place = place % #requests + 1
  return requests[place]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\nBENCH {"requests": %d, "microseconds": %d, "p50": %.0f, "p95": %.0f, "p99": %.0f, ' ..
    '"max": %.0f, "refused": %d, "socket": %d}\n',
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(95), latency:percentile(99), latency.max,
    e.status, e.connect + e.read + e.write + e.timeout))
end
