/**
 * Runs orders until it is asked to stop. The server is where CALLBOARD_SERVER says, else 127.0.0.1:7070.
 */
import { serve } from "@callboard/sdk";

import { order } from "./order.js";

await serve({ actors: [order] });
