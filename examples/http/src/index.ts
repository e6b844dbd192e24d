// For applications that mount the API among their own routes (docs/http.md).

export { createApi, type Api, type ApiOptions } from './api.ts'
export { Database } from './database.ts'
export { ApiError } from './errors.ts'
export { bearer, type Identify, type Identity } from './identity.ts'
export { Limits } from './limits.ts'
export { Live } from './live.ts'
