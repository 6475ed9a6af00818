/*
 * error_reasons.h
 *	  Why, in words that a program reads and in sentences that a person does; and hints.
 *
 * ERROR_REASON(word, English, Korean): "reason" in the detail of every code but INVALID_REQUEST, whose reason is a
 * fragment for the programmer.  The sentence is the error's hint, where it has no other.
 * ERROR_HINT(English, Korean): a hint that is raised as such; in a statement of SQL it is written in English.
 *
 * No include guard: a user defines both, includes this file, and undefines them.
 */
/* UNAUTHENTICATED */
ERROR_REASON(NO_TOKEN, "The request has no token, or its token lacks a role, an audience or a subject.", "요청에 토큰이 없거나, 토큰에 역할(role), 대상(aud) 또는 사용자(sub)가 없습니다.")
ERROR_REASON(NO_SUCH_USER, "The token's user does not exist.", "토큰의 사용자가 존재하지 않습니다.")
/* FORBIDDEN */
ERROR_REASON(NOT_FOR_ROLE, "This is not for the token's role.", "토큰의 역할로는 사용할 수 없습니다.")
ERROR_REASON(OTHER_ROLE, "The user has another role than the token.", "사용자의 역할이 토큰의 역할과 다릅니다.")
ERROR_REASON(NOT_ACTIVE, "The user is suspended or has left.", "이용이 정지되었거나 탈퇴한 사용자입니다.")
ERROR_REASON(NO_BUSINESS, "The user has no business on record.", "등록된 판매자 정보가 없습니다.")
ERROR_REASON(NO_SIGN_UP, "Users do not sign up here: the subject of a token is a user's id (commerce.jwt_subject).", "토큰의 subject가 사용자 ID이므로 가입할 수 없습니다 (commerce.jwt_subject).")
ERROR_REASON(NO_SUCH_ACTOR, "There is no active actor of this kind and id.", "해당 종류와 ID의 활성 행위자가 없습니다.")
ERROR_REASON(NOT_ENTITLED, "The actor is neither an active administrator nor the active user whose thing it is.", "활성 관리자이거나 해당 대상의 활성 사용자여야 합니다.")
ERROR_REASON(BUYER_OR_ADMIN_ONLY, "The buyer or an administrator can do it.", "구매자 또는 관리자만 할 수 있습니다.")
ERROR_REASON(CATALOGUE_CELL, "Cell 0 owns the catalogue, the staff and the register of users: it is changed there.", "상품, 직원, 사용자 등록부는 0번 셀에서 변경합니다.")
ERROR_REASON(READ_ONLY, "It is for reading.", "조회만 할 수 있습니다.")
/* COUPON_NOT_CLAIMABLE */
ERROR_REASON(STOPPED, "The coupon is stopped.", "발급이 중지된 쿠폰입니다.")
ERROR_REASON(WOULD_EXPIRE, "The coupon would expire at once.", "발급 즉시 만료되는 쿠폰입니다.")
ERROR_REASON(GIVEN_OUT, "The coupon is given out, not claimed.", "직접 발급받을 수 없는 쿠폰입니다.")
ERROR_REASON(NOT_BEGUN, "The time for claiming has not begun.", "아직 발급 기간이 아닙니다.")
ERROR_REASON(OVER, "The time for claiming is over.", "발급 기간이 끝났습니다.")
/* COUPON_NOT_USABLE */
ERROR_REASON(NAMED_TWICE, "The coupon is named twice.", "같은 쿠폰이 두 번 지정되었습니다.")
ERROR_REASON(NOT_OWN, "The user has no such coupon.", "보유하지 않은 쿠폰입니다.")
ERROR_REASON(USED, "The coupon is used.", "이미 사용한 쿠폰입니다.")
ERROR_REASON(HELD, "An unpaid order of the user's own holds the coupon: pay it, or cancel it.", "결제 대기 중인 주문에 사용된 쿠폰입니다. 그 주문을 결제하거나 취소해 주세요.")
ERROR_REASON(EXPIRED, "The coupon has expired.", "유효 기간이 지난 쿠폰입니다.")
ERROR_REASON(REVOKED, "The coupon was revoked.", "회수된 쿠폰입니다.")
ERROR_REASON(UNAVAILABLE, "The coupon was used otherwise, has expired or was revoked.", "다른 곳에 사용되었거나 만료 또는 회수된 쿠폰입니다.")
ERROR_REASON(FOR_THE_ORDER, "The coupon is for an order, not for a line.", "상품이 아니라 주문에 쓰는 쿠폰입니다.")
ERROR_REASON(FOR_A_LINE, "The coupon is for a line, not for the order.", "주문이 아니라 상품에 쓰는 쿠폰입니다.")
ERROR_REASON(OTHER_PRODUCT, "The coupon is for another product.", "다른 상품의 쿠폰입니다.")
ERROR_REASON(OTHER_SELLER, "The order has no product of the coupon's seller.", "쿠폰을 발급한 판매자의 상품이 주문에 없습니다.")
ERROR_REASON(NOT_TOGETHER, "The coupon cannot be used together with another of the order.", "주문의 다른 쿠폰과 함께 쓸 수 없는 쿠폰입니다.")
/* COUPON_CONDITION_NOT_MET */
ERROR_REASON(BELOW_MINIMUM, "The order does not come to the coupon's minimum.", "쿠폰의 최소 주문 금액에 미치지 못합니다.")
ERROR_REASON(NO_DISCOUNT, "The coupon would take nothing off.", "할인되는 금액이 없는 쿠폰입니다.")
/* INVALID_STATE_TRANSITION */
ERROR_REASON(DISPATCHED, "Something of the order was dispatched.", "주문의 일부가 이미 발송되었습니다.")
ERROR_REASON(NOTHING_LEFT, "Nothing of the order is left to send.", "발송할 상품이 남아 있지 않습니다.")
ERROR_REASON(ARCHIVED, "The order is archived: it is over for long.", "오래전에 끝나 보관된 주문입니다.")
ERROR_REASON(IMPORTED, "It was imported.", "이관된 주문입니다.")
ERROR_REASON(ERASED, "The user was erased.", "개인정보가 삭제된 사용자입니다.")
ERROR_REASON(TIME_OVER, "The time for it is over.", "신청 기간이 지났습니다.")
ERROR_REASON(NOT_UNEXPECTED, "Only a payment that is UNEXPECTED is given back.", "UNEXPECTED 상태의 결제만 돌려줄 수 있습니다.")
ERROR_REASON(NOT_REQUESTED_REFUND, "It is not a refund that a provider was asked for.", "결제사에 요청한 환불이 아닙니다.")
/* OPEN_BUSINESS */
ERROR_REASON(BALANCE_LEFT, "The balance is not 0.", "잔액이 남아 있습니다.")
ERROR_REASON(PAYMENT_REQUESTED, "A payment, charge or refund is requested.", "진행 중인 결제, 충전 또는 환불이 있습니다.")
ERROR_REASON(PAYMENT_UNEXPECTED, "An unexpected payment was not given back.", "돌려주지 않은 결제가 있습니다.")
ERROR_REASON(ORDER_OPEN, "An order is not over.", "끝나지 않은 주문이 있습니다.")
ERROR_REASON(PRODUCT_ON_SALE, "A product is on sale.", "판매 중인 상품이 있습니다.")
ERROR_REASON(ITEM_TO_DELIVER, "An item is to be delivered.", "배송할 상품이 있습니다.")
/* SERVICE_BUSY */
ERROR_REASON(LOCK_TIMEOUT, "Something that others are changing was waited for too long.", "다른 요청의 처리를 기다리다 시간이 초과되었습니다.")
ERROR_REASON(STATEMENT_TIMEOUT, "It took too long.", "처리 시간이 초과되었습니다.")
ERROR_REASON(CONFLICT, "It met with other requests that change the same.", "같은 대상을 바꾸는 다른 요청과 충돌했습니다.")
ERROR_REASON(COUNTERS_IN_USE, "All counters of products and coupons are in use.", "상품과 쿠폰의 카운터가 모두 사용 중입니다.")
ERROR_REASON(DATA_OF_ANOTHER_SERVER, "The data are of another server.", "다른 서버의 데이터입니다.")
ERROR_REASON(TOO_MANY_REQUESTS, "There were too many requests.", "요청이 너무 많습니다.")
ERROR_REASON(UNITS_ELSEWHERE, "Other cells may have what is asked for; it has not come in time.", "다른 셀에 남아 있을 수 있는 수량이 제때 도착하지 않았습니다.")
ERROR_REASON(BEING_DELIVERED, "Another session delivers the subscription.", "다른 세션이 이 구독을 전달하고 있습니다.")

ERROR_HINT("A buyer's token can sign up: sign_up.", "구매자 토큰으로 가입할 수 있습니다: sign_up.")
ERROR_HINT("Consider raising commerce.escrow_max_resources.", "commerce.escrow_max_resources를 늘려 보세요.")
ERROR_HINT("What was restored or replicated here is being made this server's own. Without the maintenance worker, or to wait for it: SELECT commerce.prepare_after_restore().",
		   "복원되거나 복제된 데이터를 이 서버의 것으로 만드는 중입니다. 유지 관리 작업자가 없거나 기다리려면: SELECT commerce.prepare_after_restore().")
ERROR_HINT("Create the database roles first: anonymous, buyer, seller and admin without LOGIN, and the one that PostgREST connects as.",
		   "먼저 데이터베이스 역할을 만드세요: LOGIN이 없는 anonymous, buyer, seller, admin과 PostgREST가 접속하는 역할.")
ERROR_HINT("Clients that pull can fetch the events after seek_subscription(), as long as the outbox has them.",
		   "직접 읽는 클라이언트는 outbox에 남아 있는 동안 seek_subscription() 이후의 이벤트를 읽을 수 있습니다.")
ERROR_HINT("It is read by clients that pull.", "클라이언트가 직접 읽는 구독입니다.")
ERROR_HINT("Credentials belong into the relay's file.", "인증 정보는 릴레이의 파일에 적습니다.")
ERROR_HINT("The table commerce.event_types has them all.", "전체 목록은 commerce.event_types 테이블에 있습니다.")
ERROR_HINT("An earlier to_time goes to the oldest event that is left.", "더 이른 to_time을 주면 남아 있는 가장 오래된 이벤트로 갑니다.")
ERROR_HINT("A position of a history that is gone: this server was promoted without it, or recovered to a moment before it. Compare by event id what both sides have.",
		   "사라진 이력의 위치입니다: 이 서버는 그 이력 없이 승격되었거나 그 이전 시점으로 복구되었습니다. 양쪽의 이벤트 ID를 비교하세요.")
ERROR_HINT("start_delivering() makes it the one that does.", "start_delivering()을 호출한 세션이 전달합니다.")
ERROR_HINT("Pause the subscription first: whoever delivers it would move the cursor on.", "먼저 구독을 일시 중지하세요. 전달 중인 세션이 커서를 옮깁니다.")
ERROR_HINT("A product is shown as SOLD_OUT when it has no stock; see adjust_stock().", "재고가 없으면 SOLD_OUT으로 표시됩니다. adjust_stock()을 보세요.")
