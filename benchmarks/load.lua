-- wrk's script: asks for a path, with {key} in it replaced by a random number from 1 to the
-- largest key, as whoever the last argument names in Authorization, and writes what it counted to
-- standard error as one line of JSON.

local requests = {}

function init(args)
  local path, largest = args[1], tonumber(args[2])
  math.randomseed(tonumber(args[3]))
  wrk.headers["Authorization"] = args[4]
  if not path:find("{key}", 1, true) then
    largest = 1
  end
  for key = 1, largest do
    requests[key] = wrk.format("GET", (path:gsub("{key}", key)))
  end
end

function request()
  return requests[math.random(#requests)]
end

function done(summary, latency)
  local errors = summary.errors
  io.stderr:write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
