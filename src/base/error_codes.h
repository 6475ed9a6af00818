/*
 * error_codes.h
 *	  The table of errors: the one place that knows code, HTTP status, SQLSTATE, messages, and the
 *	  keys that the detail, a JSON object, may have.
 *
 * ERROR_CODE(code, HTTP status, SQLSTATE, English message, Korean message, keys of the detail); no include guard:
 * a user defines ERROR_CODE, includes this file, and undefines it.  Codes of class SH are the
 * extension's own.
 */
ERROR_CODE(INVALID_REQUEST, 400, "22023", "invalid request", "잘못된 요청입니다.",
		   "argument reason issued constraint")
ERROR_CODE(UNAUTHENTICATED, 401, "28000", "authentication is required", "인증이 필요합니다.",
		   "reason")
ERROR_CODE(FORBIDDEN, 403, "42501", "not allowed", "권한이 없습니다.",
		   "user_id role status reason")
ERROR_CODE(ENTITY_NOT_FOUND, 404, "SH404", "not found", "대상을 찾을 수 없습니다.",
		   "entity id")
ERROR_CODE(STOCK_NOT_ENOUGH, 409, "SH001", "not enough stock", "재고가 부족합니다.",
		   "product_id asked available own_order_id index")
ERROR_CODE(BALANCE_NOT_ENOUGH, 409, "SH002", "not enough balance", "잔액이 부족합니다.",
		   "user_id asked balance")
ERROR_CODE(PRODUCT_NOT_ON_SALE, 409, "SH003", "product is not on sale", "판매 중인 상품이 아닙니다.",
		   "product_id seller_id index")
ERROR_CODE(COUPON_SOLD_OUT, 409, "SH004", "coupon is sold out", "쿠폰이 모두 소진되었습니다.",
		   "coupon_id")
ERROR_CODE(COUPON_ALREADY_CLAIMED, 409, "SH005", "coupon has been claimed already", "이미 발급받은 쿠폰입니다.",
		   "coupon_id coupon_issue_id")
ERROR_CODE(COUPON_NOT_CLAIMABLE, 409, "SH006", "coupon cannot be claimed now", "발급할 수 없는 쿠폰입니다.",
		   "coupon_id reason issue_from issue_until")
ERROR_CODE(COUPON_NOT_USABLE, 409, "SH007", "coupon cannot be used", "사용할 수 없는 쿠폰입니다.",
		   "coupon_issue_id reason own_order_id expires_at")
ERROR_CODE(COUPON_CONDITION_NOT_MET, 409, "SH008", "condition of the coupon is not met", "쿠폰 사용 조건을 충족하지 않습니다.",
		   "coupon_issue_id min_order_amount amount reason")
ERROR_CODE(INVALID_STATE_TRANSITION, 409, "SH009", "change of state is not allowed", "허용되지 않는 상태 변경입니다.",
		   "entity id from to actor reason archived_at until")
ERROR_CODE(PRICE_CHANGED, 409, "SH010", "price has changed", "가격이 변경되었습니다.",
		   "order_sheet_id then now")
ERROR_CODE(ORDER_SHEET_USED, 409, "SH011", "order sheet has been used already", "이미 사용된 주문서입니다.",
		   "order_sheet_id order_id")
ERROR_CODE(ORDER_SHEET_EXPIRED, 410, "SH012", "order sheet has expired", "주문서가 만료되었습니다.",
		   "order_sheet_id expires_at")
ERROR_CODE(RESERVATION_EXPIRED, 410, "SH013", "time to pay has expired", "결제 시간이 만료되었습니다.",
		   "order_id until")
ERROR_CODE(IDEMPOTENCY_KEY_REUSED, 422, "SH014", "idempotency key was used for another request", "멱등성 키가 다른 요청에 사용되었습니다.",
		   "key")
ERROR_CODE(REFUND_EXCEEDS_PAID, 409, "SH015", "refund exceeds what was paid", "환불 금액이 결제 금액을 초과합니다.",
		   "order_id payment_id asked left")
ERROR_CODE(PURCHASE_LIMIT_EXCEEDED, 409, "SH016", "more than the purchase limit", "구매 가능 수량을 초과했습니다.",
		   "product_id asked limit counted index")
ERROR_CODE(ALREADY_EXISTS, 409, "SH017", "exists already", "이미 존재합니다.",
		   "entity attribute id constraint")
ERROR_CODE(PENDING_LIMIT_EXCEEDED, 409, "SH018", "too many unpaid orders", "결제 대기 중인 주문이 너무 많습니다.",
		   "user_id limit")
ERROR_CODE(OPEN_BUSINESS, 409, "SH019", "there is open business", "진행 중인 거래가 있습니다.",
		   "user_id reason")
ERROR_CODE(SERVICE_BUSY, 429, "SH429", "service is busy", "잠시 후 다시 시도해 주세요.",
		   "reason")
ERROR_CODE(INTERNAL_SERVER_ERROR, 500, "XX000", "internal error", "서버에 문제가 발생했습니다.",
		   "")
