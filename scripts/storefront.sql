-- What the demo's storefront shows besides what scripts/demo.sql has made: names in both languages, pictures, more
-- products, some of them variants of others, and coupons to claim. Their pictures are in examples/storefront.

\set ON_ERROR_STOP on
SELECT EXISTS (SELECT FROM commerce.products WHERE image_urls <> '{}') AS done \gset
\if :done
	\quit
\endif
\o /dev/null

SELECT commerce.update_product(p.id, name => p.name, description => p.description, image_urls => ARRAY['pictures/' || p.picture || '.svg'])
FROM (VALUES
	(1, 'Teapot · 찻주전자', 'teapot', E'Celadon, thrown by hand in Icheon. Holds 600 ml.\n이천에서 손으로 빚은 청자 주전자. 600 ml.'),
	(2, 'Cup · 찻잔', 'cup', E'White porcelain with one blue line. Holds 180 ml.\n푸른 선을 두른 백자 찻잔. 180 ml.'),
	(3, 'Celadon vase · 청자 화병', 'vase', E'There is one of it.\n단 하나뿐인 작품입니다.'),
	(4, 'Desk lamp · 책상 조명', 'lamp', E'A shade of hanji on a walnut foot.\n호두나무 받침에 한지 갓을 씌웠습니다.'),
	(5, 'Candle · 향초', 'candle', E'Soy wax, cedar and tangerine. Burns for 40 hours.\n소이 왁스, 삼나무와 귤 향. 40시간.'),
	(6, 'Green tea · 녹차 80 g', 'green-tea', E'First flush from Boseong.\n보성 첫물차.'),
	(7, 'Barley tea · 보리차 200 g', 'barley-tea', E'Roasted whole. Good cold.\n통보리를 볶았습니다. 차게 드셔도 좋습니다.'),
	(8, 'Gift box · 선물 상자', 'gift-box', E'For two cups and a bag of tea.\n찻잔 두 개와 차 한 봉지가 들어갑니다.'),
	(9, 'Tea cosy · 티코지', 'cosy', E'Quilted cotton. Keeps a pot warm for an hour.\n누빈 면. 한 시간 동안 따뜻합니다.'))
	AS p (id, name, picture, description);

SELECT commerce.create_product(p.seller, p.name, p.price, p.stock, category => p.category, discount => p.discount, shipping_fee => p.shipping,
	description => p.description, image_urls => ARRAY['pictures/' || p.picture || '.svg'], group_id => p.variant_of)
FROM (VALUES
	(1, 'Teapot, large · 찻주전자 큰 것', 'teapot', 46000, 14, 'kitchen', 0, 3000, 1, E'The same teapot for a long evening. Holds 1.1 l.\n긴 저녁을 위한 큰 주전자. 1.1 l.'),
	(1, 'Teapot, for one · 1인용 찻주전자', 'teapot', 24000, 6, 'kitchen', 0, 3000, 1, E'Holds 300 ml.\n300 ml.'),
	(NULL, 'Green tea · 녹차 200 g', 'green-tea', 33000, 60, 'tea', 3000, NULL, 6, E'First flush from Boseong, in the large bag.\n보성 첫물차, 큰 봉지.'),
	(NULL, 'Green tea · 녹차 500 g', 'green-tea', 72000, 0, 'tea', 0, NULL, 6, E'For tea houses. Comes again in spring.\n찻집용. 봄에 다시 들어옵니다.'),
	(1, 'Rice bowl · 밥그릇', 'bowl', 14000, 90, 'table', 0, 3000, NULL, E'Buncheong, with a lid of its own on request.\n분청 밥그릇.'),
	(1, 'Soup bowl · 국그릇', 'bowl', 17000, 70, 'table', 2000, 3000, NULL, E'Wide and low.\n넓고 낮은 국그릇.'),
	(1, 'Plate · 접시', 'plate', 19000, 55, 'table', 0, 3000, NULL, E'Porcelain with a blue rim, 21 cm.\n푸른 테두리의 백자 접시, 21 cm.'),
	(1, 'Plate, small · 작은 접시', 'plate', 11000, 8, 'table', 0, 3000, NULL, E'14 cm.\n14 cm.'),
	(NULL, 'Spoon and chopsticks · 수저', 'spoon', 9500, 150, 'table', 0, NULL, NULL, E'Birch wood, oiled.\n자작나무에 기름을 먹였습니다.'),
	(2, 'Blanket · 담요', 'blanket', 68000, 20, 'living', 8000, 2500, NULL, E'Lambswool, 130 × 180 cm.\n양모, 130 × 180 cm.'),
	(2, 'Incense · 향', 'incense', 12000, 75, 'living', 0, 2500, NULL, E'Forty sticks of sandalwood.\n백단향 마흔 개비.'),
	(2, 'Floor lamp · 스탠드 조명', 'lamp', 139000, 5, 'living', 20000, 6000, NULL, E'As tall as a child of ten.\n열 살 아이 키만 합니다.'),
	(2, 'Candle, large · 큰 향초', 'candle', 16000, 40, 'living', 0, 2500, 5, E'Burns for 120 hours.\n120시간.'),
	(NULL, 'Jasmine tea · 재스민차 80 g', 'green-tea', 14000, 80, 'tea', 0, NULL, NULL, E'Scented three nights long.\n사흘 밤 향을 입혔습니다.'),
	(NULL, 'Buckwheat tea · 메밀차 200 g', 'barley-tea', 7500, 110, 'tea', 500, NULL, NULL, E'Nutty, without caffeine.\n고소하고 카페인이 없습니다.'))
	AS p (seller, name, picture, price, stock, category, discount, shipping, variant_of, description);

SELECT commerce.update_user(1, address => '12 Insadong-gil, Jongno-gu, Seoul'),
	   commerce.update_user(2, phone => '010-2345-6789', address => '25 Haeundae-ro, Busan'),
	   commerce.update_user(3, phone => '010-3456-7890', address => '7 Jungang-ro, Jeju');

SELECT FROM commerce.create_promotion(10, 'PERCENT', 15, now(), now() + interval '3 days');
SELECT commerce.create_coupon('Autumn · 가을', 'FIXED', 7000, 50, valid_days => 14, min_order_amount => 40000),
	   commerce.create_coupon('Tea lovers · 차 애호가', 'PERCENT', 20, 30, valid_days => 7, product_id => 6, max_discount => 5000, round_unit => 100),
	   commerce.create_coupon('Today · 오늘만', 'FREE_SHIPPING', 0, 20, valid_days => 1);
