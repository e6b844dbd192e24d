/*
 * fault.h
 *		Errors and other bounds on demand, to test what becomes of them; only where
 *		assertions are on.
 *
 * featul_integrations.fault = 'PLACE' or 'PLACE:N' makes the first (Nth) pass through
 * that place raise an error, once for each time that it is set; 'BOUND:N' makes N of a
 * bound that no test could wait for.  Other builds have neither the setting nor the
 * places.
 */
#ifndef FEATUL_FAULT_H
#define FEATUL_FAULT_H

#ifdef USE_ASSERT_CHECKING
extern void fault_define_setting(void);
extern void fault(const char *place);
extern int	fault_bound(const char *bound, int otherwise);
#else
#define fault_define_setting() ((void) 0)
#define fault(place) ((void) 0)
#define fault_bound(bound, otherwise) (otherwise)
#endif

#endif /* FEATUL_FAULT_H */
