/** The token under which the container holds the request that is being served. */
export const SERVER_REQUEST = "SERVER_REQUEST_TOKEN";
