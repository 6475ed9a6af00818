// What the pages say, in English and Korean. What the shop says comes from the shop, in the same language.

const en = {
	catalogue: 'Shop', best: 'Best sellers', coupons: 'Coupons', rush: 'The rush', orders: 'My orders', basket: 'Basket', skip: 'Skip to the content',
	menu: 'Menu', other: '한국어', buyer: 'Shopping as', nobody: 'nobody yet', footer: 'A demonstration on commerce: orders, stock, coupons and money live in PostgreSQL. Nothing here is for sale.',
	unreachable: 'The shop does not answer. What you see may be old.', broken: 'That did not work:', notFound: 'There is no such page.', loading: 'Loading…', choose: 'Choose who you are, at the top, first.',
	search: 'Search', searchFor: 'Search the shop', all: 'All', sort: 'Order', newest: 'Newest first', cheapest: 'Lowest price first', more: 'Show more', found: (n) => (n === 1 ? '1 product' : `${n} products`), nothing: 'Nothing was found.',
	shown: (n, of) => `${n} of ${of} shown`,
	category: { kitchen: 'Kitchen', living: 'Living', tea: 'Tea', extras: 'Extras', table: 'Table' },
	soldOut: 'Sold out', left: (n) => `${n} left`, off: (n) => `${n}% off`, was: 'Before', now: 'Now', shopItself: 'Haru', by: (name) => `by ${name}`, until: (time) => `Until ${time}`,
	quantity: 'Quantity', add: 'Put into the basket', added: (name) => `${name} is in the basket.`, variants: 'Also as', shippingFee: (m) => `Shipping ${m}`, freeShipping: 'Free shipping', maxPerOrder: (n) => `At most ${n} in an order`, toBasket: 'See the basket', noDescription: 'No description.', couponsOfIt: 'Coupons for it',
	claimable: 'First come, first served', mine: 'My coupons', claim: 'Claim', claimed: 'Claimed', gone: 'All gone', claimedNow: (name) => `You have got ${name}.`, remaining: (n, of) => `${n} of ${of} left`, noCoupons: 'There are no coupons now.', noMine: 'You have none yet.',
	kind: { FIXED: (v) => `${v} off`, PERCENT: (v) => `${v}% off`, FREE_SHIPPING: () => 'Free shipping' }, atMost: (m) => `at most ${m}`, from: (m) => `on orders from ${m}`, validDays: (n) => (n === '1' ? 'good for a day' : `good for ${n} days`), expires: (time) => `good until ${time}`,
	issue: { ACTIVE: 'to use', USED: 'used', EXPIRED: 'expired', REVOKED: 'taken back' },
	empty: 'The basket is empty.', remove: 'Remove', removeOf: (name) => `Remove ${name}`, quantityOf: (name) => `Quantity of ${name}`, recipient: 'Where it goes', name: 'Name', phone: 'Telephone', address: 'Address', memo: 'For the courier', payment: 'Payment', byPoints: (m) => `Points (you have ${m})`, byCard: 'Card', pointsToo: 'Points to use with it',
	couponFor: (name) => `Coupon for ${name}`, orderCoupon: 'Coupon for the order', shippingCoupon: 'Coupon for shipping', none: 'none', summary: 'What it costs', items: 'Items', discounts: 'Discounts', orderDiscount: 'Coupon', shipping: 'Shipping', shippingDiscount: 'Shipping coupon', toPay: 'To pay', total: 'Total', quoted: 'Asked of the shop just now: it did all that an order does, and took it back.', place: (m) => `Order and pay ${m}`, placing: 'Ordering…', notYet: 'It cannot be ordered so:', chargeMore: 'Add points', notSold: 'no longer for sale',
	points: 'Points', amount: 'Amount', charge: 'Add points', charged: (m) => `You have ${m} now.`, chargeWaits: 'The points come when the payment is confirmed.', noOrders: 'No orders yet.', andMore: (name, n) => `${name} and ${n} more`, order: (id) => `Order ${id}`, placed: 'Ordered', paidBy: 'Paid by', method: { BALANCE: 'Points', EXTERNAL: 'Card' }, refunded: 'Given back',
	status: { PENDING_PAYMENT: 'waiting for payment', PAID: 'paid', PARTIALLY_CANCELLED: 'partly cancelled', COMPLETED: 'completed', CANCELLED: 'cancelled', REFUNDED: 'refunded', PREPARING: 'being prepared', DISPATCHED: 'sent', IN_TRANSIT: 'on its way', DELIVERED: 'delivered', CONFIRMED: 'confirmed', CANCEL_REQUESTED: 'cancellation asked for', CANCEL_PROCESSING: 'being cancelled', RETURN_REQUESTED: 'return asked for', RETURN_PROCESSING: 'being returned', RETURNED: 'returned', EXCHANGE_REQUESTED: 'exchange asked for', EXCHANGE_PROCESSING: 'being exchanged', EXCHANGED: 'exchanged' },
	payState: { REQUESTED: 'waiting', COMPLETED: 'done', FAILED: 'failed', EXPIRED: 'expired', UNEXPECTED: 'unexpected' }, payKind: { PAYMENT: 'Payment', REFUND: 'Refund', CHARGE: 'Charge' },
	history: 'History', money: 'Money', parcels: 'Parcels', parcel: (carrier, number) => [carrier, number].filter(Boolean).join(' '), noParcels: 'Nothing was sent yet.', progress: 'How far it is',
	step: { CANCELLED: 'Cancel', CANCEL_REQUESTED: 'Ask to cancel', RETURN_REQUESTED: 'Return', EXCHANGE_REQUESTED: 'Exchange', CONFIRMED: 'Confirm receipt', DELIVERED: 'Keep it after all', PREPARING: 'Do not cancel' }, cancelAll: 'Cancel the order', reason: 'Reason', goOn: 'Go on', back: 'Back', of: (step, name) => `${step}: ${name}`, done: 'Done.',
	payNow: 'Your card', payUntil: (time) => `Pay until ${time}. Until then the shop keeps your things for you.`, pay: (m) => `Pay ${m}`, decline: 'Let the card be declined', retry: 'Try to pay again', demo: 'In this demo you are everybody else as well', sendIt: 'The sellers send it', deliverIt: 'It arrives', takeItBack: 'The return comes back', payBack: 'The card company pays back',
	units: (n) => (n === 1 ? '1 sold in three days' : `${n} sold in three days`), noBest: 'Nothing was sold in the last three days.',
	rushIntro: 'A hundred buyers want twenty coupons, all at once. Each is a request of its own, with its own token. Open this page in a second window, too: everybody sees the last one go.', start: 'Start the rush', running: 'The rush is on…', leftNow: 'coupons left', got: 'got one', tooLate: 'too late', seconds: 'seconds', failed: 'failed', buyerN: (n) => `Buyer ${n}`, theLast: (n, seconds) => `Buyer ${n} took the last one after ${seconds} seconds.`, verdict: (sold, left, late) => `${sold} got one, ${left} left, ${late} were too late.`, noRush: 'No rush yet.', lastGone: 'The last one is gone.', legend: 'Each square is a buyer',
};

const ko = {
	catalogue: '상점', best: '인기 상품', coupons: '쿠폰', rush: '선착순 체험', orders: '주문 내역', basket: '장바구니', skip: '본문으로 건너뛰기',
	menu: '메뉴', other: 'English', buyer: '구매자', nobody: '선택 안 함', footer: 'commerce 시연용 상점입니다. 주문, 재고, 쿠폰, 결제가 모두 PostgreSQL 안에서 처리됩니다. 실제로 판매하는 상품은 없습니다.',
	unreachable: '상점이 응답하지 않습니다. 화면의 내용이 오래된 것일 수 있습니다.', broken: '처리하지 못했습니다:', notFound: '없는 페이지입니다.', loading: '불러오는 중…', choose: '먼저 위에서 구매자를 선택해 주세요.',
	search: '검색', searchFor: '상품 검색', all: '전체', sort: '정렬', newest: '최신순', cheapest: '낮은 가격순', more: '더 보기', found: (n) => `상품 ${n}개`, nothing: '검색 결과가 없습니다.',
	shown: (n, of) => `${of}개 중 ${n}개 표시`,
	category: { kitchen: '주방', living: '리빙', tea: '차', extras: '소품', table: '식기' },
	soldOut: '품절', left: (n) => `${n}개 남음`, off: (n) => `${n}% 할인`, was: '정가', now: '판매가', shopItself: '하루', by: (name) => name, until: (time) => `${time}까지`,
	quantity: '수량', add: '장바구니에 담기', added: (name) => `${name}을(를) 장바구니에 담았습니다.`, variants: '다른 옵션', shippingFee: (m) => `배송비 ${m}`, freeShipping: '무료 배송', maxPerOrder: (n) => `주문당 최대 ${n}개`, toBasket: '장바구니 보기', noDescription: '설명이 없습니다.', couponsOfIt: '이 상품의 쿠폰',
	claimable: '선착순 쿠폰', mine: '내 쿠폰', claim: '받기', claimed: '받음', gone: '모두 소진', claimedNow: (name) => `${name} 쿠폰을 받았습니다.`, remaining: (n, of) => `${of}장 중 ${n}장`, noCoupons: '지금은 쿠폰이 없습니다.', noMine: '받은 쿠폰이 없습니다.',
	kind: { FIXED: (v) => `${v} 할인`, PERCENT: (v) => `${v}% 할인`, FREE_SHIPPING: () => '무료 배송' }, atMost: (m) => `최대 ${m}`, from: (m) => `${m} 이상 주문 시`, validDays: (n) => `${n}일간 유효`, expires: (time) => `${time}까지 유효`,
	issue: { ACTIVE: '사용 가능', USED: '사용함', EXPIRED: '만료됨', REVOKED: '회수됨' },
	empty: '장바구니가 비어 있습니다.', remove: '빼기', removeOf: (name) => `${name} 빼기`, quantityOf: (name) => `${name} 수량`, recipient: '받는 분', name: '이름', phone: '전화번호', address: '주소', memo: '배송 메모', payment: '결제 수단', byPoints: (m) => `포인트 (보유 ${m})`, byCard: '카드', pointsToo: '함께 쓸 포인트',
	couponFor: (name) => `${name} 쿠폰`, orderCoupon: '주문 쿠폰', shippingCoupon: '배송비 쿠폰', none: '사용 안 함', summary: '결제 금액', items: '상품 금액', discounts: '상품 할인', orderDiscount: '쿠폰 할인', shipping: '배송비', shippingDiscount: '배송비 할인', toPay: '결제할 금액', total: '합계', quoted: '방금 상점에 물어본 금액입니다. 주문과 똑같이 처리한 뒤 되돌렸습니다.', place: (m) => `${m} 결제하기`, placing: '주문하는 중…', notYet: '이대로는 주문할 수 없습니다:', chargeMore: '포인트 충전', notSold: '판매 종료',
	points: '포인트', amount: '금액', charge: '충전', charged: (m) => `보유 포인트는 ${m}입니다.`, chargeWaits: '결제가 확인되면 포인트가 들어옵니다.', noOrders: '주문이 없습니다.', andMore: (name, n) => `${name} 외 ${n}건`, order: (id) => `주문 ${id}`, placed: '주문일', paidBy: '결제 수단', method: { BALANCE: '포인트', EXTERNAL: '카드' }, refunded: '환불 금액',
	status: { PENDING_PAYMENT: '결제 대기', PAID: '결제 완료', PARTIALLY_CANCELLED: '부분 취소', COMPLETED: '완료', CANCELLED: '취소됨', REFUNDED: '환불됨', PREPARING: '상품 준비 중', DISPATCHED: '발송됨', IN_TRANSIT: '배송 중', DELIVERED: '배송 완료', CONFIRMED: '구매 확정', CANCEL_REQUESTED: '취소 요청', CANCEL_PROCESSING: '취소 처리 중', RETURN_REQUESTED: '반품 요청', RETURN_PROCESSING: '반품 처리 중', RETURNED: '반품 완료', EXCHANGE_REQUESTED: '교환 요청', EXCHANGE_PROCESSING: '교환 처리 중', EXCHANGED: '교환 완료' },
	payState: { REQUESTED: '대기', COMPLETED: '완료', FAILED: '실패', EXPIRED: '만료', UNEXPECTED: '확인 필요' }, payKind: { PAYMENT: '결제', REFUND: '환불', CHARGE: '충전' },
	history: '처리 내역', money: '결제 내역', parcels: '배송 조회', parcel: (carrier, number) => [carrier, number].filter(Boolean).join(' '), noParcels: '아직 발송되지 않았습니다.', progress: '진행 상황',
	step: { CANCELLED: '취소', CANCEL_REQUESTED: '취소 요청', RETURN_REQUESTED: '반품', EXCHANGE_REQUESTED: '교환', CONFIRMED: '구매 확정', DELIVERED: '요청 철회', PREPARING: '취소 철회' }, cancelAll: '주문 전체 취소', reason: '사유', goOn: '확인', back: '닫기', of: (step, name) => `${step}: ${name}`, done: '처리했습니다.',
	payNow: '카드 결제', payUntil: (time) => `${time}까지 결제해 주세요. 그때까지 상품을 잡아 둡니다.`, pay: (m) => `${m} 결제`, decline: '카드 승인 거절시키기', retry: '다시 결제하기', demo: '이 시연에서는 판매자와 결제사 역할도 직접 합니다', sendIt: '판매자가 발송', deliverIt: '배송 완료', takeItBack: '반품 도착', payBack: '카드사가 환불',
	units: (n) => `3일간 ${n}개 판매`, noBest: '최근 3일간 판매된 상품이 없습니다.',
	rushIntro: '구매자 백 명이 쿠폰 스무 장을 한꺼번에 받으려 합니다. 한 명 한 명이 자기 토큰으로 따로 요청합니다. 창을 하나 더 열어 보세요. 마지막 한 장이 나가는 순간을 모두가 함께 봅니다.', start: '시작하기', running: '진행 중…', leftNow: '장 남음', got: '받음', tooLate: '늦음', seconds: '초', failed: '실패', buyerN: (n) => `구매자 ${n}`, theLast: (n, seconds) => `${seconds}초 만에 구매자 ${n}이(가) 마지막 한 장을 받았습니다.`, verdict: (sold, left, late) => `${sold}명이 받았고, ${left}장 남았으며, ${late}명은 늦었습니다.`, noRush: '아직 시작하지 않았습니다.', lastGone: '마지막 한 장이 나갔습니다.', legend: '네모 하나가 구매자 한 명입니다',
};

export const texts = { en, ko };

let language = localStorage.getItem('storefront.language') ?? (/^ko\b/.test(navigator.language) ? 'ko' : 'en');
let settings = { currency: { code: 'KRW', decimals: 0 } };
export let t = texts[language] ?? en;
export const spoken = () => language;

export function speak(chosen) {
	language = chosen;
	t = texts[chosen];
	localStorage.setItem('storefront.language', chosen);
	document.documentElement.lang = chosen;
}
export const shopIs = (its) => { settings = its; };

// Amounts are in the smallest unit of the shop's currency, times are shown in the shop's zone.
export function money(amount) {
	const { code, decimals } = settings.currency;
	return new Intl.NumberFormat(language, { style: 'currency', currency: code, minimumFractionDigits: decimals, maximumFractionDigits: decimals }).format(amount / 10 ** decimals);
}
// what is typed in, in whole units of the currency, as an amount
export const amountOf = (typed) => Math.round(Number(typed) * 10 ** settings.currency.decimals);
export const number = (n) => n.toLocaleString(language);
export const time = (moment) => new Intl.DateTimeFormat(language, { timeZone: settings.timezone, month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(new Date(moment));
export const category = (name) => t.category[name] ?? name;
export const status = (code) => t.status[code] ?? code;
