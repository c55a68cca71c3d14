import { serve } from "@callboard/sdk";

import { counter } from "./counter.js";

await serve({ actors: [counter] });
