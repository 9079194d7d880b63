// Lists that are short enough to have whole: campaigns, offers, batches, stores, people.

const MOST = 500;
const PAGES = 10;

interface Known {
  id: string;
}

/** Read a list page by page; `asking` gets the last id that we have. */
export async function whole<Item extends Known>(
  asking: (page: { most: number; after?: string }) => Promise<Item[]>,
): Promise<Item[]> {
  const all = await asking({ most: MOST });
  for (let page = 1; page < PAGES && all.length === page * MOST; page += 1) {
    all.push(...(await asking({ most: MOST, after: all.at(-1)!.id })));
  }
  return all;
}
