require 'json'
require 'pg'

# commerce says no: code is the SQLSTATE of docs/errors.md
class Refusal < StandardError
  attr_reader :code, :details

  def initialize(code, detail)
    super(code)
    @code = code
    @details = JSON.parse(detail)
  end
end

$db = PG.connect                                                  # PGHOST and so on
$db.type_map_for_results = PG::BasicTypeMapForResults.new($db)    # a bigint is a string otherwise

def place_order(user_id, items, key)
  tries ||= 0
  $db.exec_params('SELECT id, payment_amount FROM commerce.place_order($1, $2, idempotency_key => $3)',
                  [user_id, items.to_json, key]).first
rescue PG::Error => e
  code = e.result&.error_field(PG::PG_DIAG_SQLSTATE)              # no result: the connection was lost
  detail = e.result&.error_field(PG::PG_DIAG_MESSAGE_DETAIL)
  raise Refusal.new(code, detail) if detail&.start_with?('{') && code != 'SH429'
  raise if (tries += 1) == 5 || !(code.nil? || code.match?(/^(40001|40P01|SH429|57P0[1-3]|08...)$/))
  sleep 0.05
  $db.reset if code.nil? || $db.status == PG::CONNECTION_BAD      # the same object, a new connection
  retry
end

# What it is run with: ruby pg.rb USER PRODUCT. test/clients/drivers.pl compares what it prints.
user, product = ARGV.map(&:to_i)
items = ->(quantity) { [{ product_id: product, quantity: quantity }] }
backend = -> { $db.exec('SELECT pg_backend_pid() AS pid').first['pid'] }
key = "#{user}-#{Process.pid}"

order = place_order(user, items[1], "#{key}-1")
puts "order #{order['id']} of #{order['payment_amount']}"
order = place_order(user, items[1], "#{key}-1")
puts "order #{order['id']} again"
before = backend[]
begin
  place_order(user, items[1000], "#{key}-2")
rescue Refusal => no
  puts format('%s: product %d, asked %d, available %d', no.code, *no.details.values_at('product_id', 'asked', 'available'))
end
puts "connection #{backend[] == before ? 'kept' : 'closed'}"
order = place_order(user, items[2], "#{key}-3")
puts "order #{order['id']} of #{order['payment_amount']}"
