-- Charges requests to all buckets of KEYS, or as many of them as every bucket admits.
--
-- ARGV is the number of requests, 0 to say what one would get and charge nothing, or -1 to make all
-- buckets full, and for each bucket its burst, rate, period and what a request costs. The period is
-- in microseconds, or the calendar of a quota: day or month, in UTC.
--
-- Returns how many requests are admitted and for each bucket, as it was before: what of a quota is
-- used, else 0, and the microseconds until the bucket is full, or the next quota begins.
--
-- Values of buckets are those of redis_rate: the time at which the bucket is full, in seconds since
-- 2017. Those of quotas are what is used, and until when, in seconds since 1970.
local epoch = 1483228800  -- 2017-01-01; relative to it, doubles hold microseconds exactly
local time = redis.call("TIME")
local second = tonumber(time[1])
local now = (second - epoch) * 1000000 + tonumber(time[2])

-- Returns the number of the day, since 1970, on which the month after that of a day begins. It
-- counts from March, so that a leap day is a year's last (Hinnant, "chrono-compatible low-level date
-- algorithms").
local function next_month(day)
  local floor = math.floor
  day = day + 719468  -- since 0000-03-01
  local era = floor(day / 146097)
  day = day - era * 146097
  local year = floor((day - floor(day / 1460) + floor(day / 36524) - floor(day / 146096)) / 365)
  local function begin(y) return 365 * y + floor(y / 4) - floor(y / 100) + floor(y / 400) end
  local month = floor((5 * (day - begin(year)) + 2) / 153) + 1
  if month == 12 then
    year, month = year + 1, 0
  end
  return era * 146097 + begin(year) + floor((153 * month + 2) / 5) - 719468
end

local function period_end(calendar, at)
  local day = math.floor(at / 86400)
  if calendar == "day" then
    return (day + 1) * 86400
  end
  return next_month(day) * 86400
end

local function read_quota(value, calendar)
  local used, ends = 0, period_end(calendar, second)
  if value then
    local stored_used, stored_ends = string.match(value, "^(%d+) (%d+)$")
    if tonumber(stored_ends) > second then
      used = tonumber(stored_used)
      if tonumber(stored_ends) <= period_end(calendar, ends) then
        ends = tonumber(stored_ends)  -- later if the clock was set back into the period before
      end
    end
  end
  return used, ends
end

local requests = tonumber(ARGV[1])
local admitted = math.max(requests, 1)
local buckets, reply = {}, {0}
for i, key in ipairs(KEYS) do
  local burst, rate, cost = tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i + 1])
  local calendar, period = ARGV[4 * i], tonumber(ARGV[4 * i])
  local value = requests >= 0 and redis.call("GET", key)  -- another program's is replaced, not read
  local b, room = {key = key, cost = cost}, 0
  if period then
    local interval = period / rate
    b.increment, b.tat = interval * cost, now
    if value then
      local tat = tonumber(value) * 1000000
      if interval % 1 == 0 then
        tat = math.floor(tat + 0.5)  -- what the seconds' fraction has rounded
      end
      b.tat = math.max(tat, now)
    end
    room = math.floor((burst * interval - (b.tat - now) + 0.5) / b.increment)
    reply[2 * i], reply[2 * i + 1] = 0, math.ceil(b.tat - now)
  else
    b.used, b.ends = read_quota(value, calendar)
    room = math.floor((burst - b.used) / cost)
    reply[2 * i], reply[2 * i + 1] = b.used, (b.ends - epoch) * 1000000 - now
  end
  admitted = math.max(math.min(admitted, room), 0)
  buckets[i] = b
end

local charged = math.min(admitted, requests)
for _, b in ipairs(buckets) do
  if b.tat and requests < 0 then
    redis.call("SET", b.key, now / 1000000, "PX", 1)
  elseif b.tat and charged > 0 then
    local tat = b.tat + b.increment * charged
    redis.call("SET", b.key, tat / 1000000, "EX", math.ceil((tat - now) / 1000000))
  elseif requests < 0 then
    redis.call("SET", b.key, "0 " .. b.ends, "PX", 1)
  elseif charged > 0 then
    local used = string.format("%d %d", b.used + b.cost * charged, b.ends)
    redis.call("SET", b.key, used, "EX", b.ends - second)
  end
end
reply[1] = admitted
return reply
