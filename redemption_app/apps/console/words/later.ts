// Pages that are still to come: what will be there, and what evidence they need.

import { dictionary } from "../../../shared/language.svelte.ts";

const en = {
  notYet: "Not here yet.",
  evidence: "What it needs",
  lift: {
    what: "Did the coupon bring anything that would not have come anyway? The difference between the customers who could have it and a holdout drawn by chance, with an honest interval, or the words: cannot tell yet.",
    needs: [
      "A holdout: customers drawn by chance before anything is shown to anybody.",
      "All purchases in a fixed window, with and without a coupon.",
      "A date for the reading that is fixed before the start, and at least 25 purchases in the smaller group.",
    ],
  },
  profit: {
    what: "What a campaign left over: the margin of the purchases that would not have come anyway, less the discounts, commissions and fees.",
    needs: ["The lift, with its interval.", "Margins by product or category, as the merchant tells them.", "Who funds the discount, in which shares."],
  },
  statements: {
    what: "Who owes whom for a period: one statement for each merchant, funder and the operator, which both sides can compute anew.",
    needs: ["Redemptions whose undo window is over.", "An agreement: shares, caps, commission, fee.", "A day on which the period closes."],
  },
};

const zh: typeof en = {
  notYet: "尚未提供。",
  evidence: "所需依据",
  lift: {
    what: "优惠券是否带来了本来不会有的消费？比较可领券的顾客与随机抽取的对照组，给出诚实的区间，或者直说：还看不出。",
    needs: ["对照组：在任何人看到之前随机抽取的顾客。", "固定期间内的全部消费，无论是否用券。", "开始前就定好的读数日期，且较小一组至少有 25 笔消费。"],
  },
  profit: {
    what: "活动最后剩下多少：本来不会有的消费的毛利，减去优惠、佣金和费用。",
    needs: ["增量及其区间。", "商户提供的商品或品类毛利。", "优惠由谁出资、比例如何。"],
  },
  statements: {
    what: "一个周期内谁欠谁多少：每个商户、出资方和运营方各一份对账单，双方都能重新算出。",
    needs: ["已过可撤销期的核销。", "协议：分摊比例、封顶、佣金、费用。", "结账日。"],
  },
};

export const laterWords = dictionary({ en, zh });
