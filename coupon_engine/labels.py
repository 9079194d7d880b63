"""What the parts of a campaign are called, for people who read what has changed in it."""

from collections.abc import Mapping

from schemas.refusals import Sentences

LABELS: Mapping[str, tuple[str, str]] = {
    "amount_minor": ("amount off", "立减金额"),
    "balance_minor": ("balance of the gift", "礼品余额"),
    "budget_minor": ("budget", "预算"),
    "buy": ("units to buy", "购买件数"),
    "cap_minor": ("at most off", "最高优惠"),
    "categories": ("categories", "适用类目"),
    "currency": ("currency", "币种"),
    "days_after_issue": ("days that a coupon works", "有效天数"),
    "ends_at": ("end", "结束时间"),
    "exclusivity_groups": ("never together with", "互斥组"),
    "first_purchase_only": ("first purchase only", "仅限首次消费"),
    "freshness_seconds": ("seconds that a live code works", "动态码有效秒数"),
    "get": ("units to get", "赠送件数"),
    "has_short_codes": ("has short codes", "是否带短码"),
    "hours": ("hours", "可用时段"),
    "kind": ("kind of benefit", "优惠类型"),
    "level": ("level", "防伪等级"),
    "limits": ("limits", "限额"),
    "max_issued": ("coupons at most", "最多发放张数"),
    "max_per_customer": ("redemptions by one customer", "每位顾客核销上限"),
    "max_per_minute": ("redemptions in a minute", "每分钟核销上限"),
    "max_redemptions": ("redemptions at most", "最多核销次数"),
    "minimum_basket_minor": ("from a purchase of", "使用门槛金额"),
    "minimum_units": ("from so many units", "使用门槛件数"),
    "name": ("name", "名称"),
    "needs_claim": ("must be claimed", "是否须领取"),
    "needs_contact": ("only for verified customers", "是否须验证联系方式"),
    "offer_id": ("offer", "优惠"),
    "offline": ("without a network", "离线策略"),
    "offline_count": ("redemptions by one terminal without a network", "单台终端离线核销次数上限"),
    "offline_minor": ("money by one terminal without a network", "单台终端离线优惠金额上限"),
    "paper_allowed": ("on paper", "是否允许纸质"),
    "percent_off_bp": ("part off, in basis points", "折扣基点"),
    "planned_minor_per_minute": ("planned money in a minute", "每分钟计划金额"),
    "planned_per_minute": ("planned issues in a minute", "每分钟计划发放"),
    "price_minor": ("fixed price", "固定价"),
    "products": ("products", "适用商品"),
    "quantity": ("units", "件数"),
    "segments": ("segments", "适用人群"),
    "size": ("coupons in the batch", "批次张数"),
    "stacking_order": ("stacking order", "叠加顺序"),
    "starts_at": ("start", "开始时间"),
    "stopped_by": ("stopped by", "由谁停止"),
    "stores": ("stores", "适用门店"),
    "times": ("times in one purchase", "单次消费次数"),
    "en": ("title in English", "英文标题"),
    "zh": ("title in Chinese", "中文标题"),
    "undo_seconds": ("seconds to undo", "可撤销秒数"),
    "uses": ("uses of a coupon", "使用次数"),
    "wait_days": ("days to wait", "生效等待天数"),
    "zone": ("time zone", "时区"),
}
_OWNERS: Mapping[str, tuple[str, str]] = {
    "campaign": ("Campaign", "活动"),
    "ceilings": ("Campaign", "活动"),
    "offers": ("Offer", "优惠"),
    "batches": ("Batch", "批次"),
}


def label_of(path: str) -> Sentences:
    """Return what a person calls the thing at this path."""
    parts = path.split(".")
    name = next((part for part in reversed(parts) if part in LABELS), None)
    owner_en, owner_zh = _OWNERS[parts[0]]
    if name is None:
        return Sentences(en=owner_en, zh=owner_zh)
    en, zh = LABELS[name]
    return Sentences(en=f"{owner_en}: {en}", zh=f"{owner_zh}：{zh}")
