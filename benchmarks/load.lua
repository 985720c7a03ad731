-- wrk's script: asks for a path, with {key} in it replaced by a random number from 1 to the
-- largest key, and writes what it counted to standard error as one line of JSON. Its arguments:
-- method, path, largest key, seed, body, and a name and a value for each header.

local MOST = 10000
local requests = {}

function init(args)
  local method, path, largest, body = args[1], args[2], tonumber(args[3]), args[5]
  math.randomseed(tonumber(args[4]))
  for at = 6, #args, 2 do
    wrk.headers[args[at]] = args[at + 1]
  end
  if body == "" then
    body = nil
  end
  for number = 1, math.min(largest, MOST) do
    local key = largest <= MOST and number or math.random(largest)
    local asked = path:gsub("{key}", string.format("%d", key))
    requests[number] = wrk.format(method, asked, nil, body)
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
